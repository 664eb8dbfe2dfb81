// A place that the old map uses is not written before the new map counts, so a moved chunk never goes there; a new chunk, which
// holds nothing yet, may be given it.
#include "engine/pool/change.h"

#include <algorithm>

#include "engine/codec/crc32c.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::pool {

using format::ChunkPlace;
using format::PoolMap;
using format::PoolMember;

namespace {

bool share_domain(const PoolMember& a, const PoolMember& b) {
  const std::string label = format::label_text(a.label);
  return !label.empty() && label == format::label_text(b.label);
}

u64 places_max(const PoolMap& map) {
  const u64 fixed = sizeof(format::PoolMapHeader) + map.members.size() * sizeof(PoolMember);
  return (format::pool_map_bytes_max - fixed) / sizeof(ChunkPlace);
}

class Editor {
 public:
  explicit Editor(PoolMap map) : map_(std::move(map)), old_chunks_(map_.chunks()), next_to_move_(map_.members.size()) {
    for (const PoolMember& member : map_.members) used_.emplace_back(member.chunks);
    for (const ChunkPlace& place : map_.places) used_[place.member][place.chunk] = true;
    was_used_ = used_;
  }

  // The member has no places behind these.
  void keep_places(u16 member, u32 chunks) { used_[member].resize(chunks); }

  // False: there is no other place for it.
  bool move_off(u32 chunk, u8 copy) {
    std::optional<u16> best;
    for (u16 member = 0; member < map_.members.size(); ++member)
      if (may_take(member, chunk, copy) && (!best || share_free(member) > share_free(*best))) best = member;
    if (best) move(chunk, copy, *best);
    return best.has_value();
  }

  void add_rows() {
    const std::size_t row = std::size_t{map_.columns} * map_.copies;
    while (map_.places.size() + row <= places_max(map_)) {
      const std::size_t before = map_.places.size();
      for (u8 column = 0; column < map_.columns; ++column)
        if (!add_chunk()) return map_.places.resize(before);
    }
  }

  Change take() { return {std::move(map_), std::move(moves_)}; }

 private:
  bool is_current(u16 member) const {
    return map_.members[member].state == static_cast<u8>(format::MemberState::current);
  }
  std::optional<u16> place_for_new(u16 member) const {
    const auto free = std::find(used_[member].begin(), used_[member].end(), false);
    if (free == used_[member].end()) return std::nullopt;
    return static_cast<u16>(free - used_[member].begin());
  }
  std::optional<u16> place_for_moved(u16 member) const {
    for (std::size_t chunk = 0; chunk < used_[member].size(); ++chunk)
      if (!used_[member][chunk] && !was_used_[member][chunk]) return static_cast<u16>(chunk);
    return std::nullopt;
  }
  u64 free_count(u16 member) const {
    return static_cast<u64>(std::count(used_[member].begin(), used_[member].end(), false));
  }
  double share_free(u16 member) const {
    return static_cast<double>(free_count(member)) / static_cast<double>(used_[member].size());
  }

  // Room for a moved copy, and no other copy of the chunk in its domain.
  bool may_take(u16 member, u32 chunk, u8 copy) const {
    if (!is_current(member) || !place_for_moved(member)) return false;
    for (u8 other = 0; other < map_.copies; ++other) {
      const u16 holder = map_.place(chunk, other).member;
      if (other != copy && (holder == member || share_domain(map_.members[holder], map_.members[member]))) return false;
    }
    return true;
  }

  void move(u32 chunk, u8 copy, u16 to) {
    ChunkPlace& place = map_.places[u64{chunk} * map_.copies + copy];
    if (place.chunk < used_[place.member].size()) used_[place.member][place.chunk] = false;
    place.chunk = *place_for_moved(to);
    place.member = to;
    used_[to][place.chunk] = true;
    moves_.push_back({chunk, copy});
  }

  bool add_chunk() {
    std::vector<u16> chosen = most_free();
    while (chosen.size() < map_.copies && give_others_room(chosen)) chosen = most_free();
    if (chosen.size() < map_.copies) return false;
    for (const u16 member : chosen) {
      ChunkPlace place;
      place.member = member;
      place.chunk = *place_for_new(member);
      used_[member][place.chunk] = true;
      map_.places.push_back(place);
    }
    return true;
  }

  // Members with room, each in its own domain, as many as a chunk needs.
  std::vector<u16> most_free() const {
    std::vector<std::pair<double, u16>> order;
    for (u16 member = 0; member < map_.members.size(); ++member)
      if (is_current(member) && free_count(member) > 0) order.emplace_back(-share_free(member), member);
    std::sort(order.begin(), order.end());
    std::vector<u16> chosen;
    for (const auto& [share, member] : order)
      if (chosen.size() < map_.copies && is_apart(member, chosen)) chosen.push_back(member);
    return chosen;
  }
  bool is_apart(u16 member, const std::vector<u16>& chosen) const {
    return std::none_of(chosen.begin(), chosen.end(), [&](u16 one) {
      return one == member || share_domain(map_.members[one], map_.members[member]);
    });
  }

  // A chunk of a full member moves to the one that has most room, which keeps some.
  bool give_others_room(const std::vector<u16>& chosen) {
    if (chosen.empty() || free_count(chosen.front()) < 2) return false;
    for (u16 full = 0; full < map_.members.size(); ++full)
      if (is_current(full) && is_apart(full, chosen) && move_one(full, chosen.front())) return true;
    return false;
  }
  bool move_one(u16 from, u16 to) {
    for (u32& chunk = next_to_move_[from]; chunk < old_chunks_; ++chunk) {
      for (u8 copy = 0; copy < map_.copies; ++copy) {
        const ChunkPlace& place = map_.place(chunk, copy);
        const bool is_old = place.member == from && was_used_[from][place.chunk];
        if (!is_old || !may_take(to, chunk, copy)) continue;
        move(chunk++, copy, to);
        return true;
      }
    }
    return false;
  }

  PoolMap map_;
  const u32 old_chunks_;
  std::vector<std::vector<bool>> used_, was_used_;  // places, by member: in the new map, in the old one
  std::vector<u32> next_to_move_;                   // by member: no chunk before it can move off
  std::vector<Move> moves_;
};

// `group`: how many places in turn are to be in domains of their own.
u64 in_one_domain(const PoolMap& map, const std::vector<ChunkPlace>& places, u32 group) {
  u64 count = 0;
  for (std::size_t i = 0; i < places.size(); ++i)
    for (std::size_t other = i - i % group; other < i; ++other)
      count += share_domain(map.members[places[i].member], map.members[places[other].member]);
  return count;
}

u64 chunks_in_one_domain(const PoolMap& map) {
  return in_one_domain(map, map.places, map.copies) +
         (map.is_striped() ? in_one_domain(map, map.shard_places, map.shards()) : 0);
}

// Whoever has one map of a sequence and not the other can tell.
u64 session_after(const PoolMap& map) {
  const std::vector<std::byte> encoded = format::encode(map);
  return map.session * 0x9e3779b97f4a7c15ull + codec::crc32c(encoded) + 1;
}

}  // namespace

Result<Change> moved_off(const PoolMap& map, u16 member, u32 chunks) {
  Editor editor(map);
  editor.keep_places(member, chunks);
  u64 unplaced = 0;
  for (u32 chunk = 0; chunk < map.chunks(); ++chunk) {
    for (u8 copy = 0; copy < map.copies; ++copy) {
      const ChunkPlace& place = map.place(chunk, copy);
      if (place.member == member && place.chunk >= chunks && !editor.move_off(chunk, copy)) ++unplaced;
    }
  }
  if (unplaced > 0) return Error{Code::pool_chunks_unplaced, unplaced};
  return editor.take();
}

Change extended(const PoolMap& map) {
  Editor editor(map);
  editor.add_rows();
  return editor.take();
}

Result<PoolMap> relabelled(const PoolMap& map, u16 member, const std::string& label) {
  PoolMap changed = map;
  char (&text)[sizeof(PoolMember::label)] = changed.members[member].label;
  std::fill(std::begin(text), std::end(text), '\0');
  std::copy_n(label.data(), std::min(label.size(), sizeof text - 1), text);
  const u64 before = chunks_in_one_domain(map);
  if (const u64 together = chunks_in_one_domain(changed); together > before) return Error{Code::pool_chunks_unplaced, together};
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
  for (ChunkPlace& place : changed.places)
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

runtime::Task<Status> read_moved(Pool& pool, u64 offset_bytes, u8 copy, MutableByteSpan into) {
  const Status whole = co_await pool.read(offset_bytes, into, copy + 1u);
  if (whole) co_return whole;
  for (u64 at = 0; at < into.size(); at += block_bytes) {
    const MutableByteSpan block = into.subspan(at, block_bytes);
    Status read = co_await pool.read(offset_bytes + at, block, copy + 1u);
    if (!read) read = co_await pool.read(offset_bytes + at, block);
    if (!read) co_return read;
  }
  co_return Status{};
}

namespace {

runtime::Task<Status> copy_chunk(Pool& from, Pool& to, Move move, MutableByteSpan bucket) {
  for (u64 number = 0; number < to.map().chunk_buckets; ++number) {
    const u64 offset = to.space_offset(move.chunk, number);
    const Status read = co_await read_moved(from, offset, move.copy, bucket);
    if (!read) co_return read;
    const Status written = co_await to.write(offset, bucket, false, static_cast<u8>(move.copy + 1));
    if (!written) co_return written;
  }
  co_return Status{};
}

}  // namespace

runtime::Task<Status> carry_out(Pool& from, Change change, std::vector<device::Device*> members, std::optional<u16> added,
                                std::function<void(u64)> progress) {
  change.map.sequence += 1;
  change.map.session = session_after(change.map);
  const format::Superblock superblock = with_space_of(from.superblock(), change.map);
  Pool to(superblock, std::move(change.map), std::move(members), false);
  device::AlignedBuffer bucket(superblock.bucket_blocks * block_bytes);
  u64 done = 0;
  for (const Move& move : change.moves) {
    const Status copied = co_await copy_chunk(from, to, move, bucket.span());
    if (!copied) co_return copied;
    if (progress) progress(++done);
  }
  const Status flushed = co_await to.flush();
  if (!flushed) co_return flushed;
  if (added) {
    const Status written = co_await to.publish_to(*added);
    if (!written) co_return written;
  }
  co_return co_await to.publish();
}

}  // namespace cowfs::pool
