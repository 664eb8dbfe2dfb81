// A pin keeps what is in the bucket as it is, also what dies meanwhile, and blocks are written once: so what the extents say
// now holds until the copies were read, and a copy may be overwritten in place. Only blocks whose first write is under way
// look wrong and are not; the commit of the epoch waits for them.
#include "engine/data/scrub.h"

#include <algorithm>

#include "engine/codec/checksum.h"
#include "engine/device/parity.h"

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
  const CopyGc::Move* extent = nullptr;
  u32 first = 0;
  u32 blocks = 0;
  ScrubPiece piece() const { return {extent->from.plus(first).offset_bytes(), blocks * block_bytes}; }
  Status verify(ByteSpan bytes) const { return verify_blocks(*extent, first, bytes); }
};

std::vector<Part> parts_of(const Extents& extents) {
  constexpr u32 blocks_max = 16;
  std::vector<Part> parts;
  for (const CopyGc::Move& extent : extents)
    for (u32 first = 0; first < extent.blocks; first += blocks_max)
      parts.push_back({&extent, first, std::min(blocks_max, extent.blocks - first)});
  return parts;
}

// Block by block: two copies may each have what the other lacks.
Task<void> mend_part(device::Device& device, Part part, device::ScrubFindings& findings) {
  const CopyGc::Move& extent = *part.extent;
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

bool is_before(u64 offset_bytes, const Part& part) { return offset_bytes < part.piece().offset_bytes; }

// `parts` ascend. What belongs to none is whatever it is.
Status verify_block(const std::vector<Part>& parts, u64 offset_bytes, ByteSpan block) {
  const auto behind = std::upper_bound(parts.begin(), parts.end(), offset_bytes, is_before);
  if (behind == parts.begin()) return {};
  const Part& part = *std::prev(behind);
  const u64 blocks_before = (offset_bytes - part.piece().offset_bytes) / block_bytes;
  if (blocks_before >= part.blocks) return {};
  return verify_blocks(*part.extent, part.first + static_cast<u32>(blocks_before), block);
}

std::vector<ScrubPiece> pieces_of(const std::vector<Part>& parts) {
  std::vector<ScrubPiece> pieces;
  for (const Part& part : parts) pieces.push_back(part.piece());
  return pieces;
}

// A bucket that is full and written, in stripes: blocks are read with their parity.
class StripeScrub {
 public:
  StripeScrub(device::Device& device, ScrubPiece bucket, const std::vector<Part>& parts, device::BackgroundReader& reader,
              device::ScrubFindings& findings)
      : device_(device), bucket_(bucket), parts_(parts), reader_(reader), findings_(findings) {}

  // The parts that have blocks in stripes of which something is wrong, or cannot be read.
  Task<std::vector<Part>> suspects() {
    device::StripedPieces all = striped(parts_);
    const std::vector<u64> stripes = co_await device::suspect_stripes(device_, std::move(all), check(), reader_, findings_);
    std::vector<Part> found;
    for (const Part& part : parts_)
      if (std::any_of(stripes.begin(), stripes.end(), [&](u64 at) { return touches(part, at); })) found.push_back(part);
    co_return found;
  }
  // Of the stripes of some parts, whose blocks are good now, or lost. What was no part of anything before is none after a crash.
  Task<void> mend_parity(const std::vector<Part>& parts) {
    return device::mend_parity(device_, striped(parts), check(), reader_, findings_);
  }

 private:
  device::StripedPieces striped(const std::vector<Part>& parts) const { return {pieces_of(parts), bucket_}; }
  device::Device::CheckBlock check() const {
    return [this](u64 offset_bytes, ByteSpan block) { return verify_block(parts_, offset_bytes, block); };
  }
  bool touches(const Part& part, u64 stripe_offset_bytes) const {
    const ScrubPiece piece = part.piece();
    const u64 stripe_end = stripe_offset_bytes + device_.stripe_blocks() * block_bytes;
    return piece.offset_bytes < stripe_end && piece.offset_bytes + piece.bytes > stripe_offset_bytes;
  }

  device::Device& device_;
  const ScrubPiece bucket_;
  const std::vector<Part>& parts_;
  device::BackgroundReader& reader_;
  device::ScrubFindings& findings_;
};

}  // namespace

Task<Status> scrub_bucket(SliceData& home, CopyGc& copygc, format::BucketId bucket, device::BackgroundReader& reader,
                          device::ScrubFindings& findings) {
  space::BucketTable& buckets = home.slice.buckets();
  if (!holds_data(buckets.find(bucket))) co_return Status{};
  const space::BucketPin pin = buckets.pin(format::first_block(bucket, home.slice.bucket_blocks()));
  const Result<Extents> extents = co_await live_extents(copygc, bucket);
  if (!extents) co_return Status{};
  const std::vector<Part> parts = parts_of(*extents);
  device::Device& device = home.slice.devices()[bucket.device()];
  const u64 first_byte = format::first_block(bucket, home.slice.bucket_blocks()).offset_bytes();
  const bool is_finished = buckets.find(bucket)->state == space::BucketState::closed;
  StripeScrub stripes(device, {first_byte, home.slice.bucket_blocks() * block_bytes}, parts, reader, findings);
  const bool with_parity = is_finished && device.is_striped(first_byte);
  std::vector<Part> suspected;
  if (with_parity) {
    suspected = co_await stripes.suspects();
  } else {
    suspected = parts;
  }
  const auto check = [&suspected](std::size_t number, ByteSpan bytes) { return suspected[number].verify(bytes); };
  const std::vector<std::size_t> suspects = co_await device::suspects_among(device, pieces_of(suspected), check, reader, findings);
  if (suspects.empty() && (!with_parity || suspected.empty())) co_return Status{};
  journal::Stream& stream = home.slice.stream();
  const Status settled = co_await stream.commit(stream.current());
  if (!settled) co_return settled;
  for (const std::size_t number : suspects) co_await mend_part(device, suspected[number], findings);
  if (with_parity) co_await stripes.mend_parity(suspected);
  co_return Status{};
}

}  // namespace cowfs::data
