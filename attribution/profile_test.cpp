#include "attribution/profile.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

namespace cowbench::attribution {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(ParseFolded, CountsAndStacksAreTakenAndHeadingsAreNot) {
  const Profile profile = parse_folded(
      "           209  [.] f\n209 start;main;f\n\n             1  [k] irq\n1 start;main;f;irq\n0x12 \n12\n3 \nnothing\n2 0;0x7fab;main;f");
  EXPECT_THAT(profile.stacks, ElementsAre(Pair("[unknown];main;f", 2), Pair("start;main;f", 209), Pair("start;main;f;irq", 1)));
  EXPECT_EQ(profile.samples, 212u);
}

TEST(ParseFolded, NothingIsNoProfile) {
  EXPECT_EQ(parse_folded("").samples, 0u);
  EXPECT_TRUE(compare_functions({}, {}).empty());
}

// Runs of a program of forty functions that are called by main, the first of which has `share` of the time.
std::vector<Profile> runs_of(double share, std::mt19937_64& random) {
  std::vector<Profile> runs;
  for (int run = 0; run < 6; ++run) {
    std::vector<double> shares(40, (1 - share) / 39);
    shares[0] = share;
    std::normal_distribution<double> wander(0, 0.1);  // more than binomial
    for (double& one : shares) one *= std::exp(wander(random));
    std::discrete_distribution<int> draw(shares.begin(), shares.end());
    Profile profile;
    for (int sample = 0; sample < 2000; ++sample) ++profile.stacks["main;f" + std::to_string(draw(random))];
    profile.samples = 2000;
    runs.push_back(std::move(profile));
  }
  return runs;
}

TEST(CompareFunctions, EqualProgramsDifferNowhereAndASlowerFunctionIsNamed) {
  constexpr u64 seed = 20261128;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  int false_alarms = 0, found = 0;
  for (int trial = 0; trial < 40; ++trial) {
    false_alarms += compare_functions(runs_of(0.10, random), runs_of(0.10, random)).front().moved();
    const auto changes = compare_functions(runs_of(0.10, random), runs_of(0.15, random));
    found += changes.front().self.moved && changes.front().name == "f0";
  }
  EXPECT_LE(false_alarms, 5);  // 5% of 40, and three standard deviations
  EXPECT_GE(found, 36);
}

TEST(CompareFunctions, SharesAreOfTheFunctionAndOfWhatItCalls) {
  const std::vector<Profile> before{parse_folded("60 main;a;a\n40 main;b\n")}, after{parse_folded("20 main;a\n80 main;a;b\n")};
  const auto changes = compare_functions(before, after);
  ASSERT_EQ(changes.size(), 3u);
  const auto of = [&](std::string_view name) { return *std::ranges::find(changes, name, &FunctionChange::name); };
  EXPECT_DOUBLE_EQ(of("a").self.before, 0.6);
  EXPECT_DOUBLE_EQ(of("a").self.after, 0.2);
  EXPECT_DOUBLE_EQ(of("a").total.before, 0.6);
  EXPECT_DOUBLE_EQ(of("a").total.after, 1.0);
  EXPECT_TRUE(of("a").self.moved && of("a").total.moved);
  EXPECT_EQ(changes[2].name, "main");
  EXPECT_DOUBLE_EQ(changes[2].total.after, 1.0);
  EXPECT_FALSE(changes[2].moved());
}

// The first real history planted its slow-down in a call of a function that the rest called as well: no function's own share moved.
TEST(CompareFunctions, WhatASharedFunctionDoesForOneCallerIsTheCallers) {
  const std::vector<Profile> before{parse_folded("900 main;work;sum\n100 main;other\n")};
  const std::vector<Profile> after{parse_folded("840 main;work;sum\n60 main;again;sum\n100 main;other\n")};
  const auto changes = compare_functions(before, after);
  const auto of = [&](std::string_view name) { return *std::ranges::find(changes, name, &FunctionChange::name); };
  EXPECT_FALSE(of("sum").moved());
  EXPECT_FALSE(of("again").self.moved);
  EXPECT_TRUE(of("again").total.moved);
}

}  // namespace
}  // namespace cowbench::attribution
