// A pin keeps what is in the bucket as it is, also what dies meanwhile, and blocks are written once: so what the extents say
// now holds until the copies were read, and a copy may be overwritten in place. Only blocks whose first write is under way
// look wrong and are not; the commit of the epoch waits for them.
#include "engine/data/scrub.h"

#include "engine/codec/checksum.h"

namespace cowfs::data {

namespace {

using device::ScrubPiece;
using Extents = std::vector<CopyGc::Move>;

Task<Result<Extents>> live_extents(CopyGc& copygc, format::BucketId bucket) {
  Extents named, live;
  const Status found = co_await copygc.find_moves(bucket, named);
  if (!found) co_return found.error();
  for (CopyGc::Move& extent : named) {
    const Result<bool> there = co_await copygc.still_there(extent);
    if (!there) co_return there.error();
    if (*there) live.push_back(std::move(extent));
  }
  co_return live;
}

Status verify_blocks(const CopyGc::Move& extent, u32 first, ByteSpan blocks) {
  const format::BlockChecksums& checksums = extent.checksums;
  const std::size_t count = blocks.size() / block_bytes;
  if (codec::first_wrong_block(checksums.kind, blocks.data(), count, checksums.of(first)) == count) return {};
  return Error{Code::extent_damaged_in_place, extent.key.inode};
}

// Small enough for a read that nobody else has to wait for.
struct Part {
  const CopyGc::Move& extent;
  u32 first = 0;
  u32 blocks = 0;
  ScrubPiece piece() const { return {extent.from.plus(first).offset_bytes(), blocks * block_bytes}; }
  Status verify(ByteSpan bytes) const { return verify_blocks(extent, first, bytes); }
};

std::vector<Part> parts_of(const Extents& extents) {
  constexpr u32 blocks_max = 16;
  std::vector<Part> parts;
  for (const CopyGc::Move& extent : extents)
    for (u32 first = 0; first < extent.blocks; first += blocks_max)
      parts.push_back({extent, first, std::min(blocks_max, extent.blocks - first)});
  return parts;
}

// Block by block: two copies may each have what the other lacks.
Task<void> mend_part(device::Device& device, Part part, device::ScrubFindings& findings) {
  const CopyGc::Move& extent = part.extent;
  for (u32 block = part.first; block < part.first + part.blocks; ++block) {
    const auto check = [&extent, block](ByteSpan bytes) { return verify_blocks(extent, block, bytes); };
    const ScrubPiece piece{extent.from.plus(block).offset_bytes(), block_bytes};
    std::optional<device::ScrubDamage> damage = co_await device::mend(device, "data", piece, check);
    if (!damage) continue;
    damage->inode = extent.key.inode;
    damage->file_offset_bytes = (extent.key.offset + block) * block_bytes;
    findings.damage.push_back(std::move(*damage));
  }
}

bool holds_data(const space::Bucket* bucket) {
  if (bucket == nullptr || bucket->live_blocks == 0) return false;
  return bucket->state == space::BucketState::open || bucket->state == space::BucketState::closed;
}

}  // namespace

Task<Status> scrub_bucket(SliceData& home, CopyGc& copygc, format::BucketId bucket, device::BackgroundReader& reader,
                          device::ScrubFindings& findings) {
  space::BucketTable& buckets = home.slice.buckets();
  if (!holds_data(buckets.find(bucket))) co_return Status{};
  const space::BucketPin pin = buckets.pin(format::first_block(bucket, home.slice.bucket_blocks()));
  const Result<Extents> extents = co_await live_extents(copygc, bucket);
  if (!extents) co_return Status{};
  const std::vector<Part> parts = parts_of(*extents);
  std::vector<ScrubPiece> pieces;
  for (const Part& part : parts) pieces.push_back(part.piece());
  device::Device& device = home.slice.devices()[bucket.device()];
  const auto check = [&parts](std::size_t number, ByteSpan bytes) { return parts[number].verify(bytes); };
  const std::vector<std::size_t> suspects = co_await device::suspects_among(device, std::move(pieces), check, reader, findings);
  if (suspects.empty()) co_return Status{};
  journal::Stream& stream = home.slice.stream();
  const Status settled = co_await stream.commit(stream.current());
  if (!settled) co_return settled;
  for (const std::size_t number : suspects) co_await mend_part(device, parts[number], findings);
  co_return Status{};
}

}  // namespace cowfs::data
