// Plans of what moves when members come, go and grow, for copies and for stripes.
#include "engine/pool/map_editor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "engine/base/random.h"
#include "engine/pool/change.h"
#include "engine/pool/plan.h"

namespace cowfs::pool {
namespace {

using format::PoolMap;
using format::PoolPart;

constexpr u64 bucket_blocks = 128;
constexpr u64 filesystem = 42;
const Redundancy four_and_two{.copies = 3, .data_shards = 4, .parity_shards = 2, .copied_buckets = 40};

u64 blocks_of(u64 buckets) { return (buckets + 1) * bucket_blocks + 1; }

PoolMap pool_of(const std::vector<u64>& buckets, const Redundancy& redundancy,
                const std::vector<std::string>& labels = {}) {
  std::vector<NewMember> members;
  for (const u64 count : buckets) {
    NewMember& member = members.emplace_back();
    member.device[0] = static_cast<u8>(members.size());
    member.capacity_blocks = blocks_of(count);
    if (members.size() <= labels.size()) member.label = labels[members.size() - 1];
  }
  Result<PoolMap> map = plan(members, redundancy, bucket_blocks);
  EXPECT_TRUE(map.ok()) << to_text(map.error());
  map->filesystem = filesystem;
  return std::move(*map);
}

PoolMap with_member(PoolMap map, u64 buckets, const std::string& label = "") {
  const format::Uuid device{static_cast<u8>(map.members.size() + 1), 9};
  map.members.push_back(member_of_size(map, device, label, blocks_of(buckets), bucket_blocks));
  return map;
}

PoolMap extended_map(const PoolMap& map) { return extended(map).map; }

// It can be written and read, and what it keeps apart is apart.
void expect_sound(const PoolMap& map) {
  std::vector<std::byte> raw = format::encode(map);
  raw.resize(format::pool_map_bytes_max);
  const auto read = format::decode_pool_map(raw, filesystem, bucket_blocks);
  ASSERT_TRUE(read.ok()) << read.error().value;
  EXPECT_EQ(chunks_in_one_domain(map), 0u);
}

using Places = std::set<std::pair<u16, u16>>;  // members, chunks of them

Places used_in(const PoolMap& map) {
  Places used;
  for (const auto* places : {&map.places, &map.shard_places})
    for (const format::ChunkPlace& place : *places) used.emplace(place.member, place.chunk);
  return used;
}

// What was there is there, where it was or in a place that nothing was in.
void expect_follows(const Change& change, const PoolMap& before) {
  expect_sound(change.map);
  PoolMap back = change.map;
  const Places used = used_in(before);
  for (const PoolPart& part : change.moves) {
    const format::ChunkPlace& place = change.map.place(part);
    EXPECT_FALSE(used.contains({place.member, place.chunk}));
    back.place(part) = before.place(part);
  }
  back.places.resize(before.places.size());
  back.shard_places.resize(before.shard_places.size());
  back.members = before.members;
  EXPECT_EQ(format::encode(back), format::encode(before));
}

TEST(MapEditor, what_is_evacuated_goes_to_a_spare_member_or_to_what_is_left_over) {
  for (const Redundancy& redundancy : {Redundancy{.copies = 1}, Redundancy{.copies = 2}, four_and_two}) {
    const PoolMap before = with_member(pool_of(std::vector<u64>(6, 1000), redundancy), 1000);
    const Result<Change> change = moved_off(before, 2, 0);
    ASSERT_TRUE(change.ok()) << to_text(change.error());
    expect_follows(*change, before);
    EXPECT_EQ(change->map.chunks_on(2), 0u);
    EXPECT_EQ(change->moves.size(), before.chunks_on(2));
    EXPECT_TRUE(without(change->map, 2).ok());
    expect_sound(*without(change->map, 2));
  }
}

// As much as so many devices would have if the pool were made on them.
TEST(MapEditor, an_added_member_brings_its_whole_size) {
  for (const u64 more : {500u, 1000u, 3000u}) {
    const PoolMap before = with_member(pool_of(std::vector<u64>(6, 1000), four_and_two), more);
    const Change change = extended(before);
    expect_follows(change, before);
    std::vector<u64> sizes(6, 1000);
    sizes.push_back(more);
    const u64 wanted = pool_of(sizes, four_and_two).buckets(bucket_blocks);
    EXPECT_GE(change.map.buckets(bucket_blocks) * 100, wanted * 98) << more;
    EXPECT_EQ(change.map.chunks(), before.chunks());
  }
}

// What copies leave free at first is all that they bring before. What brings nothing moves nothing.
TEST(MapEditor, members_that_grow_one_by_one_become_space_when_there_are_enough) {
  PoolMap map = pool_of(std::vector<u64>(6, 1000), four_and_two);
  const u32 sets = map.stripe_sets();
  for (u16 member = 0; member < 6; ++member) {
    set_size(map, map.members[member], blocks_of(2000), bucket_blocks);
    const Change change = extended(map);
    expect_follows(change, map);
    if (change.map.stripe_sets() == map.stripe_sets()) {
      EXPECT_TRUE(change.moves.empty());
    }
    if (member < 5) {
      EXPECT_LE(change.map.stripe_sets(), sets + map.chunks() * map.copies);
    }
    map = change.map;
  }
  EXPECT_GE(map.stripe_sets(), 2 * sets - 1);
}

TEST(MapEditor, nothing_moves_for_a_set_that_then_finds_no_room) {
  Redundancy even = four_and_two;
  even.copied_buckets = 16;  // two chunks, three times: one a member
  const PoolMap before = with_member(pool_of(std::vector<u64>(6, 1000), even), 40);
  const Change change = extended(before);
  EXPECT_EQ(change.map.stripe_sets(), before.stripe_sets());
  EXPECT_TRUE(change.moves.empty());
}

TEST(MapEditor, parity_of_new_sets_is_dealt_in_turn) {
  const PoolMap map = extended_map(with_member(pool_of(std::vector<u64>(6, 6000), four_and_two), 6000));
  std::vector<u64> parity(7);
  for (u32 set = 0; set < map.stripe_sets(); ++set)
    for (u32 shard = 4; shard < 6; ++shard) ++parity[map.shard_place(set, shard).member];
  EXPECT_LE(*std::max_element(parity.begin(), parity.end()), 2 * *std::min_element(parity.begin(), parity.end()) + 2);
}

TEST(MapEditor, what_would_bring_two_of_one_set_into_one_domain_is_refused) {
  const std::vector<std::string> racks{"a", "b", "c", "d", "e", "f"};
  const PoolMap full = pool_of(std::vector<u64>(6, 1000), four_and_two, racks);
  EXPECT_EQ(moved_off(full, 0, 0).error().code, Code::pool_chunks_unplaced);
  const PoolMap same = with_member(full, 1000, "b");
  EXPECT_EQ(moved_off(same, 0, 0).error().code, Code::pool_chunks_unplaced);
  EXPECT_TRUE(moved_off(same, 1, 0).ok());
  EXPECT_EQ(extended(same).map.stripe_sets(), full.stripe_sets());
  EXPECT_TRUE(moved_off(with_member(full, 1000, "g"), 0, 0).ok());
  EXPECT_EQ(moved_off(with_member(full, 900, "g"), 0, 0).error().code, Code::pool_chunks_unplaced);
}

// Ways to use a member that is not there any more are none.
TEST(MapEditor, nothing_moves_to_a_stale_member) {
  PoolMap map = with_member(with_member(pool_of(std::vector<u64>(6, 1000), four_and_two), 1000), 1000);
  map.members[6].state = static_cast<u8>(format::MemberState::stale);
  const Result<Change> change = moved_off(map, 0, 0);
  ASSERT_TRUE(change.ok());
  EXPECT_EQ(change->map.chunks_on(6), 0u);
  EXPECT_EQ(change->map.chunks_on(7), map.chunks_on(0));
}

TEST(MapEditor, random_changes_keep_what_there_is) {
  for (u64 seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const u64 members = 3 + random.below(12);
    Redundancy redundancy{.copies = static_cast<u8>(1 + random.below(3))};
    if (!random.one_in(4)) {
      redundancy.parity_shards = static_cast<u8>(1 + random.below(std::min<u64>(members - 2, 4)));
      redundancy.data_shards =
          static_cast<u8>(2 + random.below(std::min<u64>(members - redundancy.parity_shards - 1, 15)));
      redundancy.copies = static_cast<u8>(redundancy.parity_shards + 1);
      redundancy.copied_buckets = 1 + random.below(60);
    }
    std::vector<u64> sizes(members);
    for (u64& size : sizes) size = 600 + random.below(3000);
    PoolMap map = pool_of(sizes, redundancy);
    for (int step = 0; step < 12; ++step) {
      const u16 member = static_cast<u16>(random.below(map.members.size()));
      Result<Change> change = Error{};
      if (random.one_in(3)) {
        map = with_member(map, 600 + random.below(3000), random.one_in(3) ? "rack" : "");
        change = random.one_in(2) ? extended(map) : Change{map, {}};
      } else if (random.one_in(2)) {
        change = moved_off(map, member, 0);
        if (!change) continue;
        EXPECT_EQ(change->map.chunks_on(member), 0u);
      } else {
        set_size(map, map.members[member], map.members[member].capacity_blocks + random.below(200'000), bucket_blocks);
        change = extended(map);
      }
      expect_follows(*change, map);
      if (HasFatalFailure()) return;
      map = change->map;
      if (map.chunks_on(member) == 0 && random.one_in(2)) map = *without(map, member);
    }
  }
}

}  // namespace
}  // namespace cowfs::pool
