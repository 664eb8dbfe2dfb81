#include "engine/pool/plan.h"

#include <gtest/gtest.h>

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
    const auto map = plan(of_sizes(c.buckets), c.copies, bucket_blocks);
    ASSERT_TRUE(map.ok()) << to_text(map.error());
    EXPECT_GE(used_percent(*map, c.buckets), c.used_percent_min) << c.buckets.size() << " members, " << int{c.copies};
  }
}

TEST(Plan, copies_lie_on_members_with_different_labels) {
  std::vector<NewMember> members = of_sizes({1000, 1000, 1000, 1000});
  members[0].label = members[1].label = "left";
  members[2].label = members[3].label = "right";
  const auto map = plan(members, 2, bucket_blocks);
  ASSERT_TRUE(map.ok());
  for (u32 chunk = 0; chunk < map->chunks(); ++chunk)
    EXPECT_NE(map->place(chunk, 0).member / 2, map->place(chunk, 1).member / 2) << chunk;
  EXPECT_EQ(plan(members, 3, bucket_blocks).error().code, Code::pool_too_few_devices);
}

TEST(Plan, neighbouring_chunks_lie_on_different_members) {
  const auto map = plan(of_sizes({1000, 1000, 1000, 1000}), 1, bucket_blocks);
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->columns, 4);
  for (u32 chunk = 1; chunk < map->chunks(); ++chunk)
    EXPECT_NE(map->place(chunk, 0).member, map->place(chunk - 1, 0).member) << chunk;
}

TEST(Plan, impossible_requests_are_refused) {
  EXPECT_EQ(plan(of_sizes({1000}), 2, bucket_blocks).error().code, Code::pool_too_few_devices);
  EXPECT_EQ(plan(of_sizes({1000, 1000}), 0, bucket_blocks).error().code, Code::pool_too_few_devices);
  EXPECT_EQ(plan(of_sizes(std::vector<u64>(5, 1000)), 5, bucket_blocks).error().code, Code::pool_too_few_devices);
  EXPECT_EQ(plan(of_sizes(std::vector<u64>(256, 1000)), 1, bucket_blocks).error().code, Code::pool_members_too_many);
  EXPECT_EQ(plan(of_sizes({1000, 0}), 1, bucket_blocks).error().code, Code::device_too_small);
}

// What is planned can be written and read again, whatever the sizes; and a damaged map is never taken for one.
TEST(Plan, maps_survive_encoding_and_damage_is_found) {
  for (u64 seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    std::vector<u64> sizes(1 + random.below(seed % 4 == 0 ? 255 : 6));
    for (u64& size : sizes) size = seed % 3 == 0 ? 60'000 + random.below(1'000'000) : 128 + random.below(3000);
    const u8 copies = static_cast<u8>(1 + random.below(std::min<u64>(sizes.size(), 4)));
    auto map = plan(of_sizes(sizes), copies, bucket_blocks);
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
