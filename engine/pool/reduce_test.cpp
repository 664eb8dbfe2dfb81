#include "engine/pool/reduce.h"

#include <gtest/gtest.h>

#include "engine/pool/plan.h"

namespace cowfs::pool {
namespace {

constexpr u64 bucket_blocks = 128;

format::PoolMap planned(u64 devices, u8 copies) {
  std::vector<NewMember> members(devices);
  for (std::size_t i = 0; i < members.size(); ++i) {
    members[i].device[0] = static_cast<u8>(i + 1);
    members[i].capacity_blocks = 130 * bucket_blocks + 1;
  }
  const auto map = plan(members, {.copies = copies}, bucket_blocks);
  EXPECT_TRUE(map.ok());
  return *map;
}

bool lies_behind(const format::PoolMap& map, u16 member, u32 kept) {
  return std::any_of(map.places.begin(), map.places.end(),
                     [&](const format::ChunkPlace& place) { return place.member == member && place.chunk >= kept; });
}

bool is_sound(const format::PoolMap& map) {
  std::vector<std::vector<bool>> used;
  for (const format::PoolMember& member : map.members) used.emplace_back(member.chunks);
  for (const format::ChunkPlace& place : map.places) {
    if (used[place.member][place.chunk]) return false;
    used[place.member][place.chunk] = true;
  }
  for (u32 chunk = 0; chunk < map.chunks(); ++chunk)
    for (u8 copy = 1; copy < map.copies; ++copy)
      if (map.place(chunk, copy).member == map.place(chunk, 0).member) return false;
  return true;
}

TEST(Reduce, as_few_chunks_go_as_must) {
  struct Case {
    u64 devices;
    u8 copies;
    u32 kept;          // of member 0's chunks
    u64 percent_left;  // of the space
  };
  for (const Case& c : {Case{1, 1, 10, 15}, Case{2, 1, 32, 75}, Case{3, 1, 0, 66}, Case{2, 2, 32, 50},
                        Case{3, 2, 0, 66}, Case{4, 2, 64, 100}}) {
    SCOPED_TRACE(testing::Message() << c.devices << " devices, " << int{c.copies} << " copies, " << c.kept << " kept");
    const format::PoolMap map = planned(c.devices, c.copies);
    const Result<u32> chunks = chunks_without(map, 0, c.kept);
    ASSERT_TRUE(chunks.ok()) << to_text(chunks.error());
    EXPECT_NEAR(static_cast<double>(*chunks * 100 / map.chunks()), static_cast<double>(c.percent_left), 4);
    const format::PoolMap smaller = reduced(map, *chunks);
    const Result<Change> moved = moved_off(smaller, 0, c.kept);
    ASSERT_TRUE(moved.ok());
    EXPECT_FALSE(lies_behind(moved->map, 0, c.kept));
    EXPECT_TRUE(is_sound(moved->map));
    for (const format::PoolPart& part : moved->moves) {
      const format::ChunkPlace& place = moved->map.place(part);
      for (const format::ChunkPlace& before : smaller.places)
        EXPECT_FALSE(before.member == place.member && before.chunk == place.chunk)
            << "a place that is in use is written";
    }
  }
}

TEST(Reduce, copies_need_their_devices_however_few_chunks_there_are) {
  EXPECT_EQ(chunks_without(planned(2, 2), 1, 0).error().code, Code::pool_chunks_unplaced);
}

}  // namespace
}  // namespace cowfs::pool
