#include "results/unpaired.h"

#include <gtest/gtest.h>

#include "results/simulated_noise.h"

namespace cowbench::results {
namespace {

using Values = std::vector<double>;

// Exact ones by enumerating all choices, the one with ties from the formula, both worked out apart from this code.
TEST(MannWhitney, KnownValues) {
  EXPECT_NEAR(mann_whitney_p(Values{1, 2, 3}, Values{4, 5, 6}), 0.1, 1e-12);
  EXPECT_NEAR(mann_whitney_p(Values{1, 2, 3, 4}, Values{5, 6, 7, 8}), 2.0 / 70, 1e-12);
  EXPECT_NEAR(mann_whitney_p(Values{1, 2, 3, 4, 5}, Values{6, 7, 8, 9, 10}), 2.0 / 252, 1e-12);
  EXPECT_NEAR(mann_whitney_p(Values{19, 22, 16, 29, 24}, Values{20, 11, 17, 12}), 0.1111111111, 1e-9);
  EXPECT_NEAR(mann_whitney_p(Values{1, 2, 2, 3}, Values{2, 3, 4, 5}), 0.1366582477, 1e-9);  // ties
  EXPECT_EQ(mann_whitney_p(Values{5, 5, 5}, Values{5, 5, 5}), 1);
}

TEST(SignedRank, KnownValues) {
  EXPECT_NEAR(signed_rank_p(Values{1, 2, 3, 4, 5, 6}), 2.0 / 64, 1e-12);
  EXPECT_NEAR(signed_rank_p(Values{-1, 2, -3, 4, 5, 6, 7}), 0.109375, 1e-12);
  EXPECT_EQ(signed_rank_p(Values{0, 0}), 1);
  EXPECT_EQ(signed_rank_p(Values{1, -1}), 1);
}

// A tie within one side leaves the sum of ranks alone, but is no case for the exact tail: both tails must agree.
TEST(Ranks, ApproximationContinuesTheExactTail) {
  Values a, b, differences;
  for (int i = 0; i < 20; ++i) {
    a.push_back(3 * i);
    b.push_back(3 * i + 10.5);
    differences.push_back(i % 3 == 0 && i < 18 ? -i - 1 : i + 1);
  }
  const double exact = mann_whitney_p(a, b), exact_signed = signed_rank_p(differences);
  b[19] = b[18];
  differences[18] = differences[19];
  EXPECT_NEAR(mann_whitney_p(a, b) / exact, 1, 0.1);
  EXPECT_NEAR(signed_rank_p(differences) / exact_signed, 1, 0.1);
}

TEST(Discoveries, FollowBenjaminiAndHochberg) {
  using Found = std::vector<bool>;
  EXPECT_EQ(discoveries(Values{}), Found{});
  EXPECT_EQ(discoveries(Values{0.04}), (Found{true}));
  EXPECT_EQ(discoveries(Values{0.04, 0.9}), (Found{false, false}));
  EXPECT_EQ(discoveries(Values{0.9, 0.001, 0.024, 0.049}), (Found{false, true, true, false}));
  EXPECT_EQ(discoveries(Values{0.04, 0.05, 0.01}), (Found{true, true, true}));  // one carries those before it
}

TEST(UnpairedRatio, FewValuesHoldNoInterval) {
  const auto ratio = unpaired_ratio(Values{2, 2, 2, 2, 2}, Values{1, 1, 1, 1, 1, 1}, Direction::lower_is_better, 0.02, 1);
  ASSERT_TRUE(ratio);
  EXPECT_DOUBLE_EQ(ratio->estimate, 2);
  EXPECT_FALSE(ratio->interval);
  EXPECT_EQ(ratio->verdict, Verdict::unclear);
  EXPECT_FALSE(unpaired_ratio(Values{0, -1}, Values{1}, Direction::lower_is_better, 0.02, 1));
}

TEST(UnpairedRatio, IntervalCoversTheTruthWithoutDrift) {
  u64 covered = 0, worse = 0;
  constexpr u64 trials = 500;
  for (u64 seed = 1; seed <= trials; ++seed) {
    cowfs::Random random(seed);
    Values above, below;
    for (int i = 0; i < 20; ++i) {
      above.push_back(0.95 * (1 + 0.02 * simulated::normal(random)));
      below.push_back(1 + 0.02 * simulated::normal(random));
    }
    const auto ratio = unpaired_ratio(above, below, Direction::higher_is_better, 0.02, seed);
    ASSERT_TRUE(ratio && ratio->interval);
    covered += ratio->interval->low <= 0.95 && 0.95 <= ratio->interval->high;
    worse += ratio->verdict == Verdict::worse;
  }
  EXPECT_GE(covered, trials * 93 / 100);
  EXPECT_GE(worse, trials * 80 / 100);
}

}  // namespace
}  // namespace cowbench::results
