#include "engine/pool/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/base/random.h"

namespace cowfs::pool {
namespace {

constexpr u64 bucket_blocks = 128;

std::vector<NewMember> of_sizes(const std::vector<u64>& buckets) {
  std::vector<NewMember> members;
  for (const u64 count : buckets) {
    NewMember& member = members.emplace_back();
    member.device[0] = static_cast<u8>(members.size());
    member.capacity_blocks = (count + 1) * bucket_blocks + 1;  // and that of the superblock
  }
  return members;
}

// What the map can hold of what there is, in per cent.
u64 used_percent(const format::PoolMap& map, const std::vector<u64>& buckets) {
  u64 total = 0;
  for (const u64 count : buckets) total += count;
  return map.places.size() * map.chunk_buckets * 100 / total;
}

TEST(Plan, members_of_all_sizes_are_full_at_the_same_time) {
  struct Case {
    std::vector<u64> buckets;
    u8 copies;
    u64 used_percent_min;
  };
  for (const Case& c : {Case{{1000}, 1, 96}, Case{{1000, 1000}, 1, 96}, Case{{1000, 1000}, 2, 96}, Case{{1000, 1000, 1000}, 2, 96},
                        Case{{2000, 1000, 1000}, 2, 95}, Case{{3000, 1000, 1000}, 2, 78}, Case{{500, 1000, 4000}, 1, 95},
                        Case{{1000, 1000, 1000, 1000, 1000}, 3, 95}, Case{{1000, 900, 800, 700}, 4, 80}}) {
    const auto map = plan(of_sizes(c.buckets), {.copies = c.copies}, bucket_blocks);
    ASSERT_TRUE(map.ok()) << to_text(map.error());
    EXPECT_GE(used_percent(*map, c.buckets), c.used_percent_min) << c.buckets.size() << " members, " << int{c.copies};
  }
}

TEST(Plan, copies_lie_on_members_with_different_labels) {
  std::vector<NewMember> members = of_sizes({1000, 1000, 1000, 1000});
  members[0].label = members[1].label = "left";
  members[2].label = members[3].label = "right";
  const auto map = plan(members, {.copies = 2}, bucket_blocks);
  ASSERT_TRUE(map.ok());
  for (u32 chunk = 0; chunk < map->chunks(); ++chunk)
    EXPECT_NE(map->place(chunk, 0).member / 2, map->place(chunk, 1).member / 2) << chunk;
  EXPECT_EQ(plan(members, {.copies = 3}, bucket_blocks).error().code, Code::pool_too_few_devices);
}

TEST(Plan, neighbouring_chunks_lie_on_different_members) {
  const auto map = plan(of_sizes({1000, 1000, 1000, 1000}), {.copies = 1}, bucket_blocks);
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->columns, 4);
  for (u32 chunk = 1; chunk < map->chunks(); ++chunk)
    EXPECT_NE(map->place(chunk, 0).member, map->place(chunk - 1, 0).member) << chunk;
}

TEST(Plan, stripes_are_spread_like_copies_and_leave_the_members_full) {
  const Redundancy four_and_two{.copies = 3, .data_shards = 4, .parity_shards = 2, .copied_buckets = 40};
  for (const std::vector<u64>& buckets : {std::vector<u64>(6, 1000), std::vector<u64>(8, 1000), std::vector<u64>(12, 1000)}) {
    const auto map = plan(of_sizes(buckets), four_and_two, bucket_blocks);
    ASSERT_TRUE(map.ok()) << to_text(map.error());
    EXPECT_GE(map->copied_buckets(), 40u);
    const u64 used = (map->places.size() + map->shard_places.size()) * map->chunk_buckets;
    EXPECT_GE(used * 100, buckets.size() * 1000 * 94) << buckets.size();
    std::vector<u64> parity(buckets.size());
    for (u32 set = 0; set < map->stripe_sets(); ++set)
      for (u32 shard = 4; shard < 6; ++shard) ++parity[map->shard_place(set, shard).member];
    EXPECT_LE(*std::max_element(parity.begin(), parity.end()), 2 * *std::min_element(parity.begin(), parity.end()) + 2);
  }
  EXPECT_EQ(plan(of_sizes(std::vector<u64>(5, 1000)), four_and_two, bucket_blocks).error().code, Code::pool_too_few_devices);
  EXPECT_EQ(plan(of_sizes(std::vector<u64>(6, 20)), four_and_two, bucket_blocks).error().code, Code::device_too_small);
}

TEST(Plan, impossible_requests_are_refused) {
  EXPECT_EQ(plan(of_sizes({1000}), {.copies = 2}, bucket_blocks).error().code, Code::pool_too_few_devices);
  EXPECT_EQ(plan(of_sizes({1000, 1000}), {.copies = 0}, bucket_blocks).error().code, Code::pool_too_few_devices);
  EXPECT_EQ(plan(of_sizes(std::vector<u64>(5, 1000)), {.copies = 5}, bucket_blocks).error().code, Code::pool_too_few_devices);
  EXPECT_EQ(plan(of_sizes(std::vector<u64>(256, 1000)), {.copies = 1}, bucket_blocks).error().code, Code::pool_members_too_many);
  EXPECT_EQ(plan(of_sizes({1000, 0}), {.copies = 1}, bucket_blocks).error().code, Code::device_too_small);
}

Redundancy random_redundancy(Random& random, u64 members) {
  Redundancy redundancy;
  if (members < 3 || random.one_in(2)) {
    redundancy.copies = static_cast<u8>(1 + random.below(std::min<u64>(members, 4)));
    return redundancy;
  }
  redundancy.parity_shards = static_cast<u8>(1 + random.below(std::min<u64>(members - 2, 4)));
  redundancy.data_shards = static_cast<u8>(2 + random.below(std::min<u64>(members - redundancy.parity_shards - 1, 15)));
  redundancy.copies = static_cast<u8>(redundancy.parity_shards + 1);
  redundancy.copied_buckets = 1 + random.below(20);
  return redundancy;
}

// What is planned can be written and read again, whatever the sizes; and a damaged map is never taken for one.
TEST(Plan, maps_survive_encoding_and_damage_is_found) {
  for (u64 seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    std::vector<u64> sizes(1 + random.below(seed % 4 == 0 ? 255 : 6));
    for (u64& size : sizes) size = seed % 3 == 0 ? 60'000 + random.below(1'000'000) : 128 + random.below(3000);
    auto map = plan(of_sizes(sizes), random_redundancy(random, sizes.size()), bucket_blocks);
    ASSERT_TRUE(map.ok()) << to_text(map.error());
    map->filesystem = 42;
    map->sequence = seed;
    ASSERT_LE(format::encoded_bytes(*map), format::pool_map_bytes_max);
    std::vector<std::byte> raw = format::encode(*map);
    raw.resize(format::pool_map_bytes_max);
    const auto read = format::decode_pool_map(raw, 42, bucket_blocks);
    ASSERT_TRUE(read.ok()) << read.error().value;
    EXPECT_EQ(format::encode(*read), format::encode(*map));
    EXPECT_EQ(format::decode_pool_map(raw, 43, bucket_blocks).error().code, Code::pool_map_damaged);
    raw[random.below(format::encoded_bytes(*map))] ^= std::byte{1};
    EXPECT_EQ(format::decode_pool_map(raw, 42, bucket_blocks).error().code, Code::pool_map_damaged);
  }
}

}  // namespace
}  // namespace cowfs::pool
