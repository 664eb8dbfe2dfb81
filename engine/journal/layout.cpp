#include "engine/journal/layout.h"

#include <algorithm>
#include <optional>

#include "engine/base/points.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::journal {
namespace {

constexpr u64 slot_bytes = format::commit_slot_blocks * block_bytes;

Commit decode(ByteSpan raw) {
  format::CommitBlock block;
  std::memcpy(&block, raw.data(), sizeof block);
  Commit commit{.epoch = {block.epoch},
                .oldest_needed = {block.oldest_needed},
                .session = block.session,
                .previous = {block.previous},
                .tails = {}};
  commit.tails.resize(block.streams);
  if (!commit.tails.empty())
    std::memcpy(commit.tails.data(), raw.data() + sizeof block, commit.tails.size() * sizeof(format::EntryPointer));
  return commit;
}

constexpr u64 atomic_write_bytes = 512;  // a sector is written whole or not at all

// The epoch after `newest` that a damaged block in `slot` was of; 0 when it was older, foreign, or may have been torn by
// a power cut before anybody was told. Its number and its tails both tell, so that one damaged field does not hide it.
u64 lost_epoch(ByteSpan raw, u64 slot, u64 filesystem, u64 newest) {
  format::CommitBlock block;
  std::memcpy(&block, raw.data(), sizeof block);
  if (block.magic != format::commit_magic && block.filesystem != filesystem) return 0;
  constexpr u64 tails_max = (atomic_write_bytes - sizeof block) / sizeof(format::EntryPointer);
  if (block.bytes > atomic_write_bytes && block.streams > tails_max) return 0;
  const u64 next = newest + (slot + format::commit_slots - newest % format::commit_slots) % format::commit_slots;
  bool later = block.epoch == next;
  for (u64 i = 0; i < std::min<u64>(block.streams, tails_max); ++i) {
    format::EntryPointer tail;
    std::memcpy(&tail, raw.data() + sizeof block + i * sizeof tail, sizeof tail);
    later = later || (tail.epoch > newest && tail.epoch <= next);
  }
  return later ? next : 0;
}

}  // namespace

JournalLayout JournalLayout::of(const format::Superblock& superblock) {
  return {.filesystem = format::filesystem_id(superblock),
          .device_index = superblock.device_index,
          .bucket_blocks = superblock.bucket_blocks,
          .first_bucket = superblock.journal_first_bucket,
          .buckets = superblock.journal_buckets,
          .commit_ring_block = superblock.commit_ring_block,
          .checksum_kind = superblock.metadata_checksum};
}

bool JournalLayout::contains(const format::EntryPointer& pointer) const {
  const format::Address address{pointer.address};
  if (address.device() != device_index) return false;
  const u64 first = first_bucket * bucket_blocks;
  if (address.block() < first || address.block() >= first + buckets * bucket_blocks) return false;
  const u64 rest_blocks = bucket_blocks - address.block() % bucket_blocks;
  return pointer.bytes >= sizeof(format::EntryHeader) && pointer.bytes <= rest_blocks * block_bytes;
}

namespace {

// A place that holds something of this filesystem, perhaps, and no valid block in any copy.
struct DamagedPlace {
  u64 slot = 0;
  ByteSpan raw;
};

// Of `rings`, the copies: newest first.
std::vector<Commit> valid_commits(const std::vector<device::AlignedBuffer>& rings, u64 filesystem,
                                  std::vector<DamagedPlace>& damaged) {
  std::vector<Commit> commits;
  for (u64 slot = 0; slot < format::commit_slots; ++slot) {
    std::optional<Commit> newest;
    std::vector<DamagedPlace> wrong;
    for (const device::AlignedBuffer& ring : rings) {
      const ByteSpan raw = ring.span().subspan(slot * slot_bytes, slot_bytes);
      const Status valid = format::validate_commit(raw, filesystem);
      if (!valid.ok() && valid.error().code != Code::commit_block_identity_mismatch) wrong.push_back({slot, raw});
      if (!valid.ok()) continue;
      Commit commit = decode(raw);
      const bool is_in_place = commit.epoch.value % format::commit_slots == slot;
      if (is_in_place && (!newest || commit.epoch > newest->epoch)) newest = std::move(commit);
    }
    if (newest) commits.push_back(std::move(*newest));
    if (!newest) damaged.insert(damaged.end(), wrong.begin(), wrong.end());
  }
  std::sort(commits.begin(), commits.end(), [](const Commit& a, const Commit& b) { return a.epoch > b.epoch; });
  return commits;
}

}  // namespace

// Places that cannot be read are zeros. They may lie on different devices.
Task<std::vector<device::AlignedBuffer>> CommitRing::read_copies(std::vector<Status>& places) {
  std::vector<device::AlignedBuffer> rings;
  places.assign(format::commit_slots, Status{});
  std::vector<u8> unread(format::commit_slots);
  for (u8 copy = 1; copy <= device_.copies(); ++copy) {
    device::AlignedBuffer& ring = rings.emplace_back(format::commit_slots * slot_bytes);
    device::IoAwaiter read = device_.read(layout_.commit_ring_block * block_bytes, ring.span(), copy);
    const Status all = co_await read;
    for (u64 slot = 0; slot < format::commit_slots && !all.ok(); ++slot) {
      const MutableByteSpan place = ring.span().subspan(slot * slot_bytes, slot_bytes);
      device::IoAwaiter read_one = device_.read(layout_.commit_ring_block * block_bytes + slot * slot_bytes, place, copy);
      const Status one = co_await read_one;
      if (one.ok()) continue;
      std::memset(place.data(), 0, place.size());
      if (++unread[slot] == device_.copies()) places[slot] = one;
    }
  }
  co_return std::move(rings);
}

Task<std::vector<Commit>> CommitRing::read_valid() {
  std::vector<Status> places;
  const std::vector<device::AlignedBuffer> rings = co_await read_copies(places);
  std::vector<DamagedPlace> damaged;
  co_return valid_commits(rings, layout_.filesystem, damaged);
}

Task<Result<std::vector<Commit>>> CommitRing::read_all() {
  std::vector<Status> places;
  const std::vector<device::AlignedBuffer> rings = co_await read_copies(places);
  for (const Status& place : places)
    if (!place.ok()) co_return place.error();
  std::vector<DamagedPlace> damaged;
  std::vector<Commit> commits = valid_commits(rings, layout_.filesystem, damaged);
  for (const DamagedPlace& place : damaged) {
    if (commits.empty()) break;
    const u64 lost = lost_epoch(place.raw, place.slot, layout_.filesystem, commits.front().epoch.value);
    if (lost == 0) continue;
    const u64 offset = layout_.commit_ring_block * block_bytes + place.slot * slot_bytes;
    co_return Error{Code::journal_commit_damaged, lost, {.device = layout_.device_index, .offset_bytes = offset}};
  }
  co_return commits;
}

Task<Status> CommitRing::write(const Commit& commit, bool durable) {
  assert(commit.tails.size() <= format::commit_streams_max);
  format::CommitBlock block{};
  block.filesystem = layout_.filesystem;
  block.epoch = commit.epoch.value;
  block.oldest_needed = commit.oldest_needed.value;
  block.streams = static_cast<u32>(commit.tails.size());
  block.bytes = static_cast<u32>(sizeof block + commit.tails.size() * sizeof(format::EntryPointer));
  block.session = commit.session;
  block.previous = commit.previous.value;
  block.checksum_kind = layout_.checksum_kind;
  device::AlignedBuffer buffer(block.bytes);
  std::memcpy(buffer.data(), &block, sizeof block);
  if (!commit.tails.empty())
    std::memcpy(buffer.data() + sizeof block, commit.tails.data(), commit.tails.size() * sizeof(format::EntryPointer));
  format::seal_commit(buffer.span());
  assert(format::validate_commit(buffer.span(), layout_.filesystem).ok());
  if (commit.epoch.value > format::commit_slots) reached(Point::commit_ring_wrapped);
  const u64 slot = commit.epoch.value % format::commit_slots;
  const u64 offset = (layout_.commit_ring_block + slot * format::commit_slot_blocks) * block_bytes;
  device::IoAwaiter write = device_.write(offset, buffer.span(), durable);
  const Status status = co_await write;
  co_return status;
}

}  // namespace cowfs::journal
