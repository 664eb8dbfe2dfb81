#include "harness/steady_state.h"

#include <gtest/gtest.h>

namespace cowbench::harness {
namespace {

using workloads::parse_steady_rule;
using workloads::SteadyRule;

SteadyRule rule(const char* text, cowfs::u32 seconds, cowfs::u32 ramp = 0) {
  auto parsed = parse_steady_rule(text, 1024);
  EXPECT_TRUE(parsed) << text;
  parsed->seconds = seconds;
  parsed->ramp_seconds = ramp;
  return *parsed;
}

// The second, from 1, in which it settles; 0: never.
std::size_t settles(Settling& settling, const std::vector<double>& ops) {
  for (std::size_t at = 0; at < ops.size(); ++at)
    if (settling.add(1, ops[at], ops[at] / 10)) return at + 1;
  return 0;
}

TEST(SteadyRule, IsReadAsFioDoes) {
  const auto five = parse_steady_rule("iops:5%", 1024);
  ASSERT_TRUE(five);
  EXPECT_TRUE(five->percent && !five->slope && five->of == SteadyRule::Of::operations);
  EXPECT_EQ(five->limit, 5);
  const auto bytes = parse_steady_rule("bw_slope:10m", 1024);
  ASSERT_TRUE(bytes);
  EXPECT_TRUE(!bytes->percent && bytes->slope && bytes->of == SteadyRule::Of::bytes);
  EXPECT_EQ(bytes->limit, 10 * 1024 * 1024);
  for (const char* none : {"", "iops", "iops:", "iops:x", "lat:5%", "iops:-1%", "iops:0", "iops_slope:5%x"})
    EXPECT_FALSE(parse_steady_rule(none, 1024)) << none;
}

TEST(SteadyByRule, AllSamplesOfTheWindowAreNearTheirMean) {
  SteadyByRule steady(rule("iops:5%", 4));
  EXPECT_EQ(settles(steady, {100, 200, 300, 310, 305, 300, 308, 306}), 6u);  // 300 310 305 300
  EXPECT_DOUBLE_EQ(steady.ops_s(), (300 + 310 + 305 + 300) / 4.0);
  EXPECT_DOUBLE_EQ(steady.mb_s(), steady.ops_s() / 10);
}

TEST(SteadyByRule, ASlopeMayHaveNoise) {
  SteadyByRule deviation(rule("iops:5%", 4)), slope(rule("iops_slope:1%", 4));
  const std::vector<double> noisy = {100, 120, 120, 100, 100, 120};
  EXPECT_EQ(settles(deviation, noisy), 0u);
  EXPECT_EQ(settles(slope, noisy), 4u);
}

TEST(SteadyByRule, NeitherRampNorCutSecondsAreLookedAt) {
  SteadyByRule steady(rule("bw:2m", 2, 3));
  EXPECT_EQ(settles(steady, {100, 100, 100, 100}), 0u);
  EXPECT_FALSE(steady.add(0.2, 100, 10));
  EXPECT_TRUE(steady.add(1, 110, 11));
}

TEST(SteadyBySnia, RangeAndExcursionAreLimited) {
  SteadyBySnia level(1), rising(1), spread(1);
  EXPECT_EQ(settles(level, {50, 80, 100, 101, 99, 100, 102}), 7u);
  EXPECT_EQ(settles(rising, {100, 104, 108, 112, 116, 120}), 0u);
  EXPECT_EQ(settles(spread, {100, 125, 100, 125, 100, 125}), 0u);
  EXPECT_EQ(level.windows_seen(), 7u);
}

TEST(SteadyBySnia, AWindowIsTheMeanOfItsSeconds) {
  SteadyBySnia steady(2);
  const std::vector<double> swinging = {50, 150, 60, 140, 70, 130, 80, 120, 90, 110};
  EXPECT_EQ(settles(steady, swinging), 10u);
}

}  // namespace
}  // namespace cowbench::harness
