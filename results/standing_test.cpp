#include "results/standing.h"

#include <gmock/gmock.h>

#include "results/record_fixture.h"

namespace cowbench::results {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

Comparison after(u64 rounds) {
  Comparison comparison = fixture::make_record().comparisons[0];
  for (TargetResult& result : comparison.results) result.rounds.resize(rounds);
  summarise(comparison);
  return comparison;
}

TEST(Standings, AreThoseOfTheRecord) {
  const Comparison comparison = after(8);
  const auto all = standings(comparison);
  ASSERT_THAT(all, SizeIs(4));
  EXPECT_EQ(all[0].target, "cowfs");
  EXPECT_FALSE(all[0].ratio || all[1].ratio);  // both are under test
  for (const std::size_t other : {2u, 3u}) {
    const TargetResult& result = comparison.results[other];
    EXPECT_EQ(all[other].speed, result.metrics.at("throughput_mb_s").median);
    EXPECT_NEAR(*all[other].device_write_mb_s, result.metrics.at("device_write_bytes").median / 10e6, 1e-9);
    const auto ratio = std::ranges::find_if(comparison.ratios, [&](const Ratio& found) {
      return found.metric == "throughput_mb_s" && found.numerator == "cowfs" && found.denominator == result.target;
    });
    EXPECT_EQ(all[other].ratio->estimate, ratio->estimate);
    EXPECT_EQ(all[other].ratio->ci95, ratio->ci95);
  }
}

// The warm-up is left out, and the flushes are far more than one operation in a hundred.
TEST(Standings, LatenciesAreOfTheMeasuredSeconds) {
  Comparison comparison = after(2);
  for (Round& round : comparison.results[0].rounds) round.latency_each_second[0][120] = 1'000'000'000;
  EXPECT_GT(*standings(comparison)[0].latency_p99_ns, 2'400'000u);
  EXPECT_LT(*standings(comparison)[0].latency_p99_ns, 20'000'000u);
}

TEST(Standings, IntervalsBeginWithTheSixthRoundAndCloseIn) {
  EXPECT_FALSE(standings(after(5))[2].half_width_first || standings(after(5))[2].half_width);
  const auto first = standings(after(6))[2], later = standings(after(8))[2];
  EXPECT_EQ(first.half_width, first.half_width_first);
  EXPECT_EQ(later.half_width_first, first.half_width);
  EXPECT_NEAR(*later.half_width, (std::log(later.ratio->ci95->high) - std::log(later.ratio->ci95->low)) / 2, 1e-12);
}

TEST(Standings, OfNothingThereAreNone) { EXPECT_THAT(standings(Comparison{}), IsEmpty()); }

}  // namespace
}  // namespace cowbench::results
