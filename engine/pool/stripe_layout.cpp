#include "engine/pool/stripe_layout.h"

#include "engine/base/assert.h"

namespace cowfs::pool {

StripeLayout::StripeLayout(const format::PoolMap& map, u64 bucket_blocks) : map_(map), bucket_blocks_(bucket_blocks) {
  assert(map.is_striped());
}

u64 StripeLayout::space_offset(u64 set, u64 bucket) const {
  const u64 first = set / map_.columns * map_.columns * buckets_per_set();
  return begins_at() + (first + bucket * map_.columns + set % map_.columns) * bucket_blocks_ * block_bytes;
}

StripeRange StripeLayout::range(u64 offset_bytes, u64 length_bytes) const {
  const u64 block = (offset_bytes - begins_at()) / block_bytes;
  const u64 bucket = block / bucket_blocks_;
  const u64 turn_buckets = buckets_per_set() * map_.columns;
  StripeRange range;
  range.set = bucket / turn_buckets * map_.columns + bucket % map_.columns;
  range.first_stripe = bucket / map_.columns % buckets_per_set() * map_.stripes_per_bucket(bucket_blocks_);
  range.from = block % bucket_blocks_;
  range.to = range.from + length_bytes / block_bytes;
  assert(range.to <= bucket_blocks_);
  return range;
}

bool StripeLayout::is_whole(const StripeRange& range) const {
  return range.from % data_shards() == 0 && (range.to % data_shards() == 0 || range.to == bucket_blocks_);
}

StripeRows StripeLayout::rows(const StripeRange& range) const {
  const u64 first = range.from / data_shards();
  const u64 end = (range.to + data_shards() - 1) / data_shards();
  return {.set = range.set,
          .first_stripe = range.first_stripe + first,
          .count = end - first,
          .last_blocks = std::min<u64>(data_shards(), bucket_blocks_ - (end - 1) * data_shards())};
}

StripeRows StripeLayout::row(const StripeRows& rows, u64 stripe) const {
  return {.set = rows.set,
          .first_stripe = rows.first_stripe + stripe,
          .count = 1,
          .last_blocks = stripe + 1 == rows.count ? rows.last_blocks : data_shards()};
}

u64 StripeLayout::length(const StripeRows& rows, u32 shard) const {
  const bool lacks_last = shard < data_shards() && shard >= rows.last_blocks;
  return rows.count - (lacks_last ? 1 : 0);
}

u64 StripeLayout::member_offset(u64 set, u32 shard, u64 stripe) const {
  const format::ChunkPlace& place = map_.shard_place(set, shard);
  const u64 bucket = map_.members[place.member].first_bucket + u64{place.chunk} * map_.chunk_buckets;
  return (bucket * bucket_blocks_ + stripe) * block_bytes;
}

u32 choices(u32 of, u32 chosen) {
  u64 ways = 1;
  for (u32 i = 0; i < chosen; ++i) ways = ways * (of - i) / (i + 1);
  return static_cast<u32>(ways);
}

// In the combinatorial number system: the largest first.
ShardMask choice(u32 of, u32 chosen, u32 number) {
  assert(number < choices(of, chosen));
  ShardMask mask = 0;
  for (u32 left = chosen; left > 0; --left) {
    u32 largest = of - 1;
    while (choices(largest, left) > number) --largest;
    number -= choices(largest, left);
    mask |= 1u << largest;
    of = largest;
  }
  return mask;
}

}  // namespace cowfs::pool
