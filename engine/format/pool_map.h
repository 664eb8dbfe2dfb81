// The map of a pool: which devices belong to a filesystem of several, and on which of them each piece of its space lies.
// Each member holds it, in two places that are written in turn; the member's superblock says which one counts.
//
// A member is divided into chunks of equal size. The space of the pool begins with copied chunks, each of which lies on as many
// members as the pool keeps copies. If it keeps an erasure code, stripe sets follow: a set is one chunk on each of as many
// members as there are shards. A bucket of a set is written in stripes, of one block on each data shard's member, in turn, and
// one on each parity shard's; the last stripe of a bucket may have fewer data blocks.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/result.h"
#include "engine/codec/erasure_code.h"
#include "engine/format/superblock.h"

namespace cowfs::format {

constexpr u32 pool_map_magic = 0x4d574f43;  // "COWM"
constexpr u64 pool_map_first_block = 2;
constexpr u64 pool_map_place_blocks = 31;
constexpr u64 pool_map_bytes_max = pool_map_place_blocks * block_bytes;
static_assert(pool_map_first_block + 2 * pool_map_place_blocks <= superblock_second_copy);

constexpr u16 pool_members_max = 255;
constexpr u8 pool_replicas_max = 4;  // of everything
constexpr u8 pool_copies_max = 5;    // of copied chunks beside stripes: one more than these have parity shards
constexpr u8 pool_columns_max = 16;
constexpr u8 data_shards_min = codec::data_shards_min, data_shards_max = codec::data_shards_max;
constexpr u8 parity_shards_max = codec::parity_shards_max;

enum class MemberState : u8 {
  current = 1,  // holds what it should
  stale = 2,    // was away while something was written, or failed: nothing on it counts
};
const char* name(MemberState state);

struct PoolMapHeader {  // 80 bytes, then `members` PoolMembers, then `copies` ChunkPlaces for each copied chunk, then
                        // `data_shards + parity_shards` ChunkPlaces for each stripe set, data first
  le32 checksum;        // crc32c of every byte after it, up to `bytes`
  le32 magic;           // pool_map_magic
  le64 filesystem;      // first 8 bytes of the filesystem's UUID
  le64 sequence;        // grows with each map; its place is sequence % 2
  le64 session;         // random: two maps of one sequence differ in it
  le64 mounts;          // for writing, so far
  le64 epoch;           // newest commit when the last of them began
  le32 bytes;
  le32 chunks;          // copied
  le32 chunk_buckets;   // of one chunk; a power of two
  le16 members;
  u8 copies;            // of each copied chunk, on as many members
  u8 columns;           // consecutive buckets lie in so many chunks, or sets, in turn; a power of two that divides both numbers
  le32 stripe_sets;
  u8 data_shards;       // 0: no erasure code, and no sets
  u8 parity_shards;
  u8 reserved[10];
};
static_assert(sizeof(PoolMapHeader) == 80);

struct PoolMember {    // 128 bytes
  Uuid device;
  char label[64];      // failure domain, NUL-padded: copies of a chunk have different ones. Empty: its own
  le64 capacity_blocks;
  le32 first_bucket;   // of chunk 0; what lies before it is the superblock's
  le32 chunks;         // that it has room for
  u8 state;            // MemberState
  u8 reserved[7];
  le64 current_since;  // sequence of the map in which it became current again; 0: it always was
  u8 reserved_end[16];
};
static_assert(sizeof(PoolMember) == 128);

struct ChunkPlace {  // 4 bytes
  le16 member;
  le16 chunk;        // of the member
};
static_assert(sizeof(ChunkPlace) == 4);

// What lies in one chunk of a member: a copy of a chunk of the space, or a shard of a stripe set.
struct PoolPart {
  bool is_shard = false;
  u32 group = 0;   // the chunk, or the set
  u8 number = 0;   // the copy, or the shard, from 0
  bool operator==(const PoolPart&) const = default;
};

// Decoded.
struct PoolMap {
  u64 filesystem = 0;
  u64 sequence = 0;
  u64 session = 0;
  u64 mounts = 0;
  u64 epoch = 0;
  u32 chunk_buckets = 0;
  u8 copies = 0;
  u8 columns = 0;
  std::vector<PoolMember> members;
  std::vector<ChunkPlace> places;  // chunk * copies + copy
  u8 data_shards = 0;
  u8 parity_shards = 0;
  std::vector<ChunkPlace> shard_places;  // set * shards() + shard

  u32 chunks() const { return static_cast<u32>(places.size() / copies); }
  const ChunkPlace& place(u64 chunk, u8 copy) const { return places[chunk * copies + copy]; }
  const ChunkPlace& place(const PoolPart& part) const {
    return part.is_shard ? shard_place(part.group, part.number) : place(part.group, part.number);
  }
  ChunkPlace& place(const PoolPart& part) { return const_cast<ChunkPlace&>(std::as_const(*this).place(part)); }

  bool is_striped() const { return data_shards > 0; }
  u32 shards() const { return data_shards + u32{parity_shards}; }
  u32 stripe_sets() const { return is_striped() ? static_cast<u32>(shard_places.size() / shards()) : 0; }
  const ChunkPlace& shard_place(u64 set, u32 shard) const { return shard_places[set * shards() + shard]; }
  u64 stripes_per_bucket(u64 bucket_blocks) const { return (bucket_blocks + data_shards - 1) / data_shards; }
  // Of one stripe set.
  u64 set_buckets(u64 bucket_blocks) const { return chunk_buckets * bucket_blocks / stripes_per_bucket(bucket_blocks); }
  u64 copied_buckets() const { return u64{chunks()} * chunk_buckets; }
  // That lie on the member: copied ones, and those of sets.
  u64 chunks_on(u16 member) const;
  // Copied chunks of which no copy is on a member that counts, and stripe sets of which too few shards are.
  u64 lost(const std::function<bool(u16 member)>& counts) const;
  // Of the whole space.
  u64 buckets(u64 bucket_blocks) const {
    return copied_buckets() + (is_striped() ? stripe_sets() * set_buckets(bucket_blocks) : 0);
  }
};

constexpr u64 pool_map_block(u64 sequence) {
  return pool_map_first_block + sequence % 2 * pool_map_place_blocks;
}

// Whole blocks, sealed. Precondition: it fits pool_map_bytes_max.
std::vector<std::byte> encode(const PoolMap& map);
u64 encoded_bytes(const PoolMap& map);

// `raw`: a whole place. Errors: pool_map_damaged (value: which check failed first, counted from 1).
Result<PoolMap> decode_pool_map(ByteSpan raw, u64 filesystem, u64 bucket_blocks);

// Of buckets on a device of this size, from `first_bucket` on.
u64 whole_chunks(u64 capacity_blocks, u64 first_bucket, u64 bucket_blocks, u64 chunk_buckets);

std::string to_text(const PoolMap& map, u64 bucket_blocks);

}  // namespace cowfs::format
