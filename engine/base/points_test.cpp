#include "engine/base/points.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace cowfs {
namespace {

TEST(Points, nothing_is_forced_or_counted_without_a_record) {
  EXPECT_FALSE(has_points());
  EXPECT_FALSE(forced(Point::transaction_cut));
  reached(Point::inner_node_split);
  const PointRecord record(1);
  EXPECT_EQ(record.counts(), PointCounts{});
}

TEST(Points, what_is_reached_is_counted) {
  const PointRecord record(1);
  reached(Point::inner_node_split);
  reached(Point::inner_node_split);
  EXPECT_EQ(record.counts()[static_cast<std::size_t>(Point::inner_node_split)], 2u);
}

TEST(Points, the_seed_says_what_is_forced) {
  const auto taken = [](u64 seed) {
    const PointRecord record(seed);
    std::string history;
    for (int i = 0; i < 100; ++i) history += forced(Point::transaction_cut) ? '1' : '0';
    return history;
  };
  std::set<std::string> histories;
  for (u64 seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(taken(seed), taken(seed)) << seed;
    histories.insert(taken(seed));
  }
  EXPECT_TRUE(histories.contains(std::string(100, '0')));  // off
  EXPECT_GT(histories.size(), 5u);
}

TEST(Points, a_favoured_one_is_forced_every_other_time) {
  for (u64 seed = 1; seed <= 20; ++seed) {
    PointRecord record(seed);
    record.favour(Point::transaction_cut);
    int taken = 0;
    for (int i = 0; i < 1000; ++i) taken += forced(Point::transaction_cut) ? 1 : 0;
    EXPECT_NEAR(taken, 500, 100) << seed;
  }
}

TEST(Points, an_observer_hears_of_each_that_fires) {
  struct Observer final : PointObserver {
    void fired(Point point) override { heard.push_back(point); }
    std::vector<Point> heard;
  } observer;
  PointRecord record(1);
  record.favour(Point::transaction_cut);
  record.set_observer(&observer);
  reached(Point::inner_node_split);
  while (!forced(Point::transaction_cut)) {
  }
  record.set_observer(nullptr);
  reached(Point::inner_node_split);
  EXPECT_EQ(observer.heard, (std::vector{Point::inner_node_split, Point::transaction_cut}));
}

TEST(Points, each_has_a_name_and_a_meaning) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < point_count; ++i) {
    EXPECT_TRUE(names.insert(name(static_cast<Point>(i))).second);
    EXPECT_FALSE(meaning(static_cast<Point>(i)).empty());
  }
}

}  // namespace
}  // namespace cowfs
