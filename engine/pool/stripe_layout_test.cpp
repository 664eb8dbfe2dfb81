#include "engine/pool/stripe_layout.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <tuple>

#include "engine/base/random.h"
#include "engine/pool/plan.h"

namespace cowfs::pool {
namespace {

constexpr u64 bucket_blocks = 128;

format::PoolMap striped_map(u8 data_shards, u8 parity_shards, u64 members) {
  std::vector<NewMember> made(members);
  for (u64 i = 0; i < members; ++i) {
    made[i].device[0] = static_cast<u8>(i + 1);
    made[i].capacity_blocks = 200 * bucket_blocks;
  }
  const Redundancy redundancy{.copies = static_cast<u8>(parity_shards + 1),
                              .data_shards = data_shards,
                              .parity_shards = parity_shards,
                              .copied_buckets = 20};
  const auto map = plan(made, redundancy, bucket_blocks);
  EXPECT_TRUE(map.ok()) << to_text(map.error());
  return *map;
}

struct Code {
  u8 data, parity;
  u64 members;
};

// Blocks and parity of all stripes fill places on the members, each its own, on as many members as there are shards.
TEST(StripeLayout, no_two_blocks_lie_in_one_place) {
  for (const Code& code : {Code{4, 2, 6}, Code{2, 1, 3}, Code{3, 2, 7}, Code{5, 1, 12}, Code{16, 4, 20}, Code{2, 2, 8}}) {
    SCOPED_TRACE(std::to_string(code.data) + "+" + std::to_string(code.parity));
    const format::PoolMap map = striped_map(code.data, code.parity, code.members);
    const StripeLayout layout(map, bucket_blocks);
    std::set<std::pair<u16, u64>> used;
    std::set<std::tuple<u64, u64>> buckets;
    for (u64 bucket = map.copied_buckets(); bucket < map.buckets(bucket_blocks); ++bucket) {
      const StripeRange range = layout.range(bucket * bucket_blocks * block_bytes, bucket_blocks * block_bytes);
      EXPECT_TRUE(layout.is_whole(range));
      EXPECT_TRUE(buckets.insert({range.set, range.first_stripe}).second);
      const StripeRows rows = layout.rows(range);
      u64 data = 0;
      for (u32 shard = 0; shard < layout.shards(); ++shard) {
        const u64 length = layout.length(rows, shard);
        if (shard < code.data) data += length;
        for (u64 stripe = 0; stripe < length; ++stripe) {
          const u64 at = layout.member_offset(range.set, shard, rows.first_stripe + stripe);
          ASSERT_TRUE(used.insert({layout.member(range.set, shard), at}).second);
          ASSERT_LT(at, 200 * bucket_blocks * block_bytes);
        }
      }
      EXPECT_EQ(data, bucket_blocks);
    }
    for (u64 chunk = 0; chunk < map.chunks(); ++chunk) {
      for (u8 copy = 0; copy < map.copies; ++copy) {
        const format::ChunkPlace& place = map.place(chunk, copy);
        const u64 first = map.members[place.member].first_bucket + u64{place.chunk} * map.chunk_buckets;
        ASSERT_FALSE(used.contains({place.member, first * bucket_blocks * block_bytes}));
      }
    }
  }
}

TEST(StripeLayout, ranges_and_their_stripes) {
  const format::PoolMap map = striped_map(3, 1, 4);  // 128 = 42 * 3 + 2
  const StripeLayout layout(map, bucket_blocks);
  const u64 bucket_at = layout.begins_at();
  const auto of = [&](u64 from, u64 to) { return layout.range(bucket_at + from * block_bytes, (to - from) * block_bytes); };
  EXPECT_TRUE(layout.is_whole(of(0, 3)));
  EXPECT_TRUE(layout.is_whole(of(126, 128)));
  EXPECT_FALSE(layout.is_whole(of(1, 3)));
  EXPECT_FALSE(layout.is_whole(of(0, 4)));
  const StripeRows rows = layout.rows(of(125, 127));
  EXPECT_EQ(rows.first_stripe, 41u);
  EXPECT_EQ(rows.count, 2u);
  EXPECT_EQ(rows.last_blocks, 2u);
  EXPECT_EQ(layout.length(rows, 1), 2u);
  EXPECT_EQ(layout.length(rows, 2), 1u);
  EXPECT_EQ(layout.length(rows, 3), 2u);
}

TEST(StripeLayout, every_choice_of_lost_shards_comes_once) {
  for (u32 of : {3u, 6u, 14u, 20u}) {
    for (u32 chosen = 1; chosen <= 4 && chosen < of; ++chosen) {
      std::set<ShardMask> seen;
      for (u32 number = 0; number < choices(of, chosen); ++number) {
        const ShardMask mask = choice(of, chosen, number);
        EXPECT_EQ(std::popcount(mask), static_cast<int>(chosen));
        EXPECT_LT(mask, 1u << of);
        EXPECT_TRUE(seen.insert(mask).second);
      }
    }
  }
  EXPECT_EQ(choices(20, 4), 4845u);
}

}  // namespace
}  // namespace cowfs::pool
