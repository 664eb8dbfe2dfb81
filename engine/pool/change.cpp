#include "engine/pool/change.h"

#include <algorithm>
#include <set>

#include "engine/codec/crc32c.h"
#include "engine/device/aligned_buffer.h"
#include "engine/pool/map_editor.h"
#include "engine/pool/moved_part.h"

namespace cowfs::pool {

using format::ChunkPlace;
using format::PoolMap;
using format::PoolMember;

namespace {

// `group`: how many places in turn are to be in domains of their own.
u64 in_one_domain(const PoolMap& map, const std::vector<ChunkPlace>& places, u32 group) {
  u64 count = 0;
  for (std::size_t i = 0; i < places.size(); ++i)
    for (std::size_t other = i - i % group; other < i; ++other)
      count += share_domain(map.members[places[i].member], map.members[places[other].member]);
  return count;
}

// Whoever has one map of a sequence and not the other can tell.
u64 session_after(const PoolMap& map) {
  const std::vector<std::byte> encoded = format::encode(map);
  return map.session * 0x9e3779b97f4a7c15ull + codec::crc32c(encoded) + 1;
}

}  // namespace

u64 chunks_in_one_domain(const PoolMap& map) {
  return in_one_domain(map, map.places, map.copies) +
         (map.is_striped() ? in_one_domain(map, map.shard_places, map.shards()) : 0);
}

Result<Change> moved_off(const PoolMap& map, u16 member, u32 chunks) {
  MapEditor editor(map);
  if (const u64 unplaced = editor.move_all_off(member, chunks); unplaced > 0) return Error{Code::pool_chunks_unplaced, unplaced};
  return Change{editor.map(), editor.moves()};
}

// What would move for a row that then finds no room stays.
Change extended(const PoolMap& map) {
  const u64 rows = MapEditor(map).add_rows(~0ull);
  MapEditor editor(map);
  editor.add_rows(rows);
  return {editor.map(), editor.moves()};
}

Result<PoolMap> relabelled(const PoolMap& map, u16 member, const std::string& label) {
  PoolMap changed = map;
  char(&text)[sizeof(PoolMember::label)] = changed.members[member].label;
  std::fill(std::begin(text), std::end(text), '\0');
  std::copy_n(label.data(), std::min(label.size(), sizeof text - 1), text);
  const u64 before = chunks_in_one_domain(map);
  if (const u64 together = chunks_in_one_domain(changed); together > before)
    return Error{Code::pool_chunks_unplaced, together};
  return changed;
}

format::Superblock with_space_of(format::Superblock superblock, const PoolMap& map) {
  superblock.bucket_count = map.buckets(superblock.bucket_blocks);
  superblock.capacity_blocks = superblock.bucket_count * superblock.bucket_blocks + 1;
  return superblock;
}

Result<PoolMap> without(const PoolMap& map, u16 member) {
  if (const u64 chunks = map.chunks_on(member); chunks > 0) return Error{Code::pool_member_in_use, chunks};
  PoolMap changed = map;
  changed.members.erase(changed.members.begin() + member);
  for (std::vector<ChunkPlace>* places : {&changed.places, &changed.shard_places})
    for (ChunkPlace& place : *places)
      if (place.member > member) place.member = static_cast<u16>(place.member - 1);
  return changed;
}

PoolMember member_of_size(const PoolMap& map, const format::Uuid& device, const std::string& label, u64 capacity_blocks,
                          u64 bucket_blocks) {
  PoolMember member{};
  member.device = device;
  std::copy_n(label.data(), std::min(label.size(), sizeof member.label - 1), member.label);
  member.first_bucket = map.members.front().first_bucket;
  member.state = static_cast<u8>(format::MemberState::current);
  set_size(map, member, capacity_blocks, bucket_blocks);
  return member;
}

void set_size(const PoolMap& map, PoolMember& member, u64 capacity_blocks, u64 bucket_blocks) {
  const u64 chunks = format::whole_chunks(capacity_blocks, member.first_bucket, bucket_blocks, map.chunk_buckets);
  member.capacity_blocks = capacity_blocks;
  member.chunks = static_cast<u32>(std::min<u64>(chunks, 1u << 16));
}

namespace {

runtime::Task<Status> copy_part(Pool& from, Pool& to, format::PoolPart part, MutableByteSpan buffer) {
  const ChunkPlace place = to.map().place(part);
  MovedPieces pieces(from, part, buffer.size());
  while (const std::optional<MovedPiece> piece = pieces.next()) {
    const MutableByteSpan data = buffer.first(piece->length);
    const Status read = co_await read_moved(from, *piece, data);
    if (!read) co_return read;
    const Status written = co_await to.asked(place.member).write(to.place_offset(place) + piece->begin, data);
    if (!written) co_return written;
  }
  co_return Status{};
}

// Those that took something. A flush of the pool would make the new map count without one that fails.
runtime::Task<Status> flush_taken(Pool& to, std::vector<format::PoolPart> moves) {
  std::set<u16> members;
  for (const format::PoolPart& part : moves) members.insert(to.map().place(part).member);
  for (const u16 member : members) {
    const Status flushed = co_await to.asked(member).flush();
    if (!flushed) co_return flushed;
  }
  co_return Status{};
}

}  // namespace

runtime::Task<Status> carry_out(Pool& from, Change change, std::vector<device::Device*> members,
                                std::optional<u16> added, std::function<void(u64)> progress) {
  change.map.sequence += 1;
  change.map.session = session_after(change.map);
  const format::Superblock superblock = with_space_of(from.superblock(), change.map);
  Pool to(superblock, std::move(change.map), std::move(members), false);
  device::AlignedBuffer bucket(superblock.bucket_blocks * block_bytes);
  u64 done = 0;
  for (const format::PoolPart& part : change.moves) {
    const Status copied = co_await copy_part(from, to, part, bucket.span());
    if (!copied) co_return copied;
    if (progress) progress(++done);
  }
  const Status flushed = co_await flush_taken(to, change.moves);
  if (!flushed) co_return flushed;
  if (added) {
    const Status written = co_await to.publish_to(*added);
    if (!written) co_return written;
  }
  co_return co_await to.publish();
}

}  // namespace cowfs::pool
