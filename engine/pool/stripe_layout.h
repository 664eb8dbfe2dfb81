// Where the blocks of stripes lie, and which of them make up what is asked for. Numbers only.
#pragma once
#include "engine/format/pool_map.h"

namespace cowfs::pool {

// Bit i stands for shard i of a stripe, data first.
using ShardMask = u32;

// Blocks of one bucket that lies in stripes.
struct StripeRange {
  u64 set = 0;
  u64 first_stripe = 0;  // of the bucket, in its set
  u64 from = 0, to = 0;  // blocks of the bucket
};

// Whole stripes of one bucket.
struct StripeRows {
  u64 set = 0;
  u64 first_stripe = 0;  // of them, in the set
  u64 count = 0;
  u64 last_blocks = 0;  // data blocks that the last one has: the end of a bucket may have fewer than there are data shards
};

// Of one shard, in one piece.
struct ShardRun {
  u64 set = 0;
  u32 shard = 0;
  u64 first_stripe = 0;  // in the set
  u64 blocks = 0;
};

class StripeLayout {
 public:
  // Precondition: the map has stripe sets; it outlives the layout.
  StripeLayout(const format::PoolMap& map, u64 bucket_blocks);

  u32 data_shards() const { return map_.data_shards; }
  u32 shards() const { return map_.shards(); }
  // In bytes of the pool's space.
  u64 begins_at() const { return map_.copied_buckets() * bucket_blocks_ * block_bytes; }
  u64 buckets_per_set() const { return map_.set_buckets(bucket_blocks_); }
  // Where a set's bucket lies in the space.
  u64 space_offset(u64 set, u64 bucket) const;

  // Precondition: the bytes lie in stripes, all of them in one bucket.
  StripeRange range(u64 offset_bytes, u64 length_bytes) const;
  // It begins and ends with whole stripes.
  bool is_whole(const StripeRange& range) const;
  bool is_same_stripe(const StripeRange& a, const StripeRange& b) const {
    return a.set == b.set && a.first_stripe == b.first_stripe && a.from / data_shards() == b.from / data_shards();
  }
  // The stripes that have any of its blocks.
  StripeRows rows(const StripeRange& range) const;
  // One of them.
  StripeRows row(const StripeRows& rows, u64 stripe) const;
  // Of the stripes, how many have a block of this shard.
  u64 length(const StripeRows& rows, u32 shard) const;

  u16 member(u64 set, u32 shard) const { return map_.shard_place(set, shard).member; }
  // In bytes of that member.
  u64 member_offset(u64 set, u32 shard, u64 stripe) const;

 private:
  const format::PoolMap& map_;
  const u64 bucket_blocks_;
};

// The ways to choose `chosen` of `of`, and one of them, counted from 0.
u32 choices(u32 of, u32 chosen);
ShardMask choice(u32 of, u32 chosen, u32 number);

}  // namespace cowfs::pool
