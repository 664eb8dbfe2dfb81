#include "attribution/counters.h"

#include <gmock/gmock.h>

#include <random>

namespace cowbench::attribution {
namespace {

TEST(CompareCounters, ExactOnesMoveWhenTheyDifferAndNoisyOnesWhenChanceDoesNotExplainIt) {
  constexpr unsigned seed = 7;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::normal_distribution<double> noise(0, 1);
  CounterRuns before, after;
  for (int run = 0; run < 12; ++run) {
    before["flushes"].push_back(10);
    after["flushes"].push_back(11);
    before["bytes"].push_back(4096);
    after["bytes"].push_back(4096);
    const double drift = run;  // of the machine: both sides have it
    before["speed"].push_back(100 + drift + noise(random));
    after["speed"].push_back(95 + drift + noise(random));
    before["heat"].push_back(50 + noise(random));
    after["heat"].push_back(50 + noise(random));
    before["only_before"].push_back(1);
  }
  after["waits"] = {1};
  before["waits"] = {1};
  const auto changes = compare_counters(before, after);
  ASSERT_EQ(changes.size(), 4u);
  EXPECT_EQ(changes[0].name, "flushes");
  EXPECT_TRUE(changes[0].exact && changes[0].moved);
  EXPECT_DOUBLE_EQ(*changes[0].relative(), 0.1);
  EXPECT_EQ(changes[1].name, "speed");
  EXPECT_TRUE(changes[1].moved && !changes[1].exact);
  ASSERT_TRUE(changes[1].ci95);
  EXPECT_LT(changes[1].ci95->low, -5);
  EXPECT_GT(changes[1].ci95->high, -5);
  EXPECT_EQ(changes[2].name, "bytes");
  EXPECT_FALSE(changes[2].moved);
  EXPECT_EQ(changes[3].name, "heat");
  EXPECT_FALSE(changes[3].moved);
}

TEST(CompareCounters, WhatWasNothingHasNoRelativeChange) {
  const auto changes = compare_counters({{"retries", {0, 0, 0}}}, {{"retries", {5, 5, 5}}});
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_TRUE(changes[0].moved);
  EXPECT_FALSE(changes[0].relative());
}

}  // namespace
}  // namespace cowbench::attribution
