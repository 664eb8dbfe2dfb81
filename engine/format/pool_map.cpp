#include "engine/format/pool_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/codec/crc32c.h"

namespace cowfs::format {
namespace {

u32 checksum_of(ByteSpan sealed) { return codec::crc32c(sealed.subspan(sizeof(le32))); }

bool is_sound(const PoolMember& member, u64 bucket_blocks, u64 chunk_buckets) {
  const bool known = member.state == static_cast<u8>(MemberState::current) || member.state == static_cast<u8>(MemberState::stale);
  return known && member.label[sizeof member.label - 1] == '\0' && member.capacity_blocks < 1ull << 48 &&
         member.first_bucket <= member.capacity_blocks / bucket_blocks && member.chunks <= 1u << 16 &&
         member.chunks <= whole_chunks(member.capacity_blocks, member.first_bucket, bucket_blocks, chunk_buckets);
}

// Each place is on a member that has it, no place is used twice, and those of one group lie on different members.
bool take_places(const PoolMap& map, const std::vector<ChunkPlace>& places, u32 group, std::vector<std::vector<bool>>& used) {
  for (std::size_t i = 0; i < places.size(); ++i) {
    const ChunkPlace& place = places[i];
    if (place.member >= map.members.size() || place.chunk >= map.members[place.member].chunks) return false;
    if (used[place.member][place.chunk]) return false;
    used[place.member][place.chunk] = true;
    for (std::size_t other = i - i % group; other < i; ++other)
      if (places[other].member == place.member) return false;
  }
  return true;
}

bool places_are_sound(const PoolMap& map) {
  std::vector<std::vector<bool>> used;
  for (const PoolMember& member : map.members) used.emplace_back(member.chunks);
  return take_places(map, map.places, map.copies, used) &&
         (!map.is_striped() || take_places(map, map.shard_places, map.shards(), used));
}

bool shards_are_sound(const PoolMapHeader& header) {
  if (header.data_shards == 0) return header.parity_shards == 0 && header.stripe_sets == 0;
  return header.data_shards >= data_shards_min && header.data_shards <= data_shards_max && header.parity_shards >= 1 &&
         header.parity_shards <= parity_shards_max && header.stripe_sets > 0 && header.stripe_sets % header.columns == 0;
}

// Of so many places in turn, fewer than needed are on members that count.
u64 groups_lost(const std::vector<ChunkPlace>& places, u32 group, u32 needed, const std::function<bool(u16)>& counts) {
  u64 lost = 0;
  for (auto first = places.begin(); first != places.end(); first += group) {
    const auto there = std::count_if(first, first + group, [&counts](const ChunkPlace& place) { return counts(place.member); });
    lost += static_cast<u64>(there) < needed;
  }
  return lost;
}

}  // namespace

u64 PoolMap::chunks_on(u16 member) const {
  const auto is_there = [member](const ChunkPlace& place) { return place.member == member; };
  return static_cast<u64>(std::count_if(places.begin(), places.end(), is_there) +
                          std::count_if(shard_places.begin(), shard_places.end(), is_there));
}

u64 PoolMap::lost(const std::function<bool(u16)>& counts) const {
  return groups_lost(places, copies, 1, counts) + (is_striped() ? groups_lost(shard_places, shards(), data_shards, counts) : 0);
}

const char* name(MemberState state) { return state == MemberState::current ? "current" : "stale"; }

u64 whole_chunks(u64 capacity_blocks, u64 first_bucket, u64 bucket_blocks, u64 chunk_buckets) {
  const u64 buckets = (capacity_blocks - 1) / bucket_blocks;  // the last block holds a copy of the superblock
  return (buckets - std::min(buckets, first_bucket)) / chunk_buckets;
}

u64 encoded_bytes(const PoolMap& map) {
  return sizeof(PoolMapHeader) + map.members.size() * sizeof(PoolMember) +
         (map.places.size() + map.shard_places.size()) * sizeof(ChunkPlace);
}

std::vector<std::byte> encode(const PoolMap& map) {
  const u64 bytes = encoded_bytes(map);
  assert(bytes <= pool_map_bytes_max);
  std::vector<std::byte> raw(round_up(bytes, block_bytes));
  PoolMapHeader header{};
  header.magic = pool_map_magic;
  header.filesystem = map.filesystem;
  header.sequence = map.sequence;
  header.session = map.session;
  header.mounts = map.mounts;
  header.epoch = map.epoch;
  header.bytes = static_cast<u32>(bytes);
  header.chunks = map.chunks();
  header.chunk_buckets = map.chunk_buckets;
  header.members = static_cast<u16>(map.members.size());
  header.copies = map.copies;
  header.columns = map.columns;
  header.stripe_sets = map.stripe_sets();
  header.data_shards = map.data_shards;
  header.parity_shards = map.parity_shards;
  std::byte* at = raw.data() + sizeof header;
  std::memcpy(at, map.members.data(), map.members.size() * sizeof(PoolMember));
  at += map.members.size() * sizeof(PoolMember);
  std::memcpy(at, map.places.data(), map.places.size() * sizeof(ChunkPlace));
  at += map.places.size() * sizeof(ChunkPlace);
  std::copy(map.shard_places.begin(), map.shard_places.end(), reinterpret_cast<ChunkPlace*>(at));
  std::memcpy(raw.data(), &header, sizeof header);
  header.checksum = checksum_of(ByteSpan(raw).first(bytes));
  std::memcpy(raw.data(), &header, sizeof header);
  return raw;
}

Result<PoolMap> decode_pool_map(ByteSpan raw, u64 filesystem, u64 bucket_blocks) {
  u64 checks = 0;
  const auto damaged = [&checks] { return Error{Code::pool_map_damaged, checks}; };
  PoolMapHeader header;
  std::memcpy(&header, raw.data(), sizeof header);
  if (++checks; header.magic != pool_map_magic || header.filesystem != filesystem) return damaged();
  if (++checks; header.bytes < sizeof header || header.bytes > raw.size()) return damaged();
  if (++checks; header.checksum != checksum_of(raw.first(header.bytes))) return damaged();
  if (++checks; header.members == 0 || header.members > pool_members_max) return damaged();
  if (++checks; header.copies == 0 || header.copies > pool_copies_max) return damaged();
  if (++checks; !std::has_single_bit(header.columns) || header.columns > pool_columns_max) return damaged();
  if (++checks; !std::has_single_bit(u32{header.chunk_buckets}) || header.chunk_buckets > 1u << 24) return damaged();
  if (++checks; header.chunks == 0 || header.chunks % header.columns != 0) return damaged();
  if (++checks; !shards_are_sound(header)) return damaged();
  const u64 members_bytes = header.members * sizeof(PoolMember);
  const u64 places = u64{header.chunks} * header.copies;
  const u64 shard_places = u64{header.stripe_sets} * (header.data_shards + header.parity_shards);
  if (++checks; header.bytes != sizeof header + members_bytes + (places + shard_places) * sizeof(ChunkPlace)) return damaged();
  PoolMap map{.filesystem = filesystem,
              .sequence = header.sequence,
              .session = header.session,
              .mounts = header.mounts,
              .epoch = header.epoch,
              .chunk_buckets = header.chunk_buckets,
              .copies = header.copies,
              .columns = header.columns,
              .members = std::vector<PoolMember>(header.members),
              .places = {},
              .data_shards = header.data_shards,
              .parity_shards = header.parity_shards,
              .shard_places = {}};
  const std::byte* at = raw.data() + sizeof header;
  std::memcpy(map.members.data(), at, members_bytes);
  const auto* first_place = reinterpret_cast<const ChunkPlace*>(at + members_bytes);
  map.places.assign(first_place, first_place + places);
  map.shard_places.assign(first_place + places, first_place + places + shard_places);
  ++checks;
  for (const PoolMember& member : map.members)
    if (!is_sound(member, bucket_blocks, map.chunk_buckets)) return damaged();
  if (++checks; !places_are_sound(map)) return damaged();
  return map;
}

std::string to_text(const PoolMap& map, u64 bucket_blocks) {
  const u64 chunk_bytes = map.chunk_buckets * bucket_blocks * block_bytes;
  std::string text = fmt::format("{:<22} {} chunks of {} MiB, {} on {} devices, {} side by side\n", "pool", map.chunks(),
                                 chunk_bytes / mib, map.copies == 1 ? "one copy" : fmt::format("{} copies", map.copies),
                                 map.members.size(), map.columns);
  if (map.is_striped()) {
    const u64 set_bytes = map.set_buckets(bucket_blocks) * bucket_blocks * block_bytes;
    text += fmt::format("{:<22} {} sets of {} MiB, {}+{} on as many devices, {:.2f} bytes on devices for each byte\n", "stripes",
                        map.stripe_sets(), set_bytes / mib, map.data_shards, map.parity_shards,
                        static_cast<double>(map.shards() * chunk_bytes) / static_cast<double>(set_bytes));
  }
  text += fmt::format("{:<22} {}, mounted {} times, last after epoch {}\n", "pool map", map.sequence, map.mounts, map.epoch);
  for (std::size_t i = 0; i < map.members.size(); ++i) {
    const PoolMember& member = map.members[i];
    const std::string label = label_text(member.label);
    text += fmt::format("{:<22} {}, {} of {} chunks{}{}\n", fmt::format("member {}", i),
                        name(static_cast<MemberState>(member.state)), map.chunks_on(static_cast<u16>(i)), u32{member.chunks},
                        label.empty() ? "" : ", label ", label);
  }
  return text;
}

}  // namespace cowfs::format
