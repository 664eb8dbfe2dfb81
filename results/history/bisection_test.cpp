#include "results/history/bisection.h"

#include <gmock/gmock.h>

#include <numeric>

#include "results/simulated_noise.h"

namespace cowbench::history {
namespace {

using results::simulated::normal;
using testing::Contains;
using testing::ElementsAre;
using testing::Le;

struct Outcome {
  Bisection::State state;
  std::vector<std::size_t> culprits;
  u64 runs;
};

Outcome run(Bisection bisection, std::size_t culprit, double step, double sd, u64 seed) {
  cowfs::Random random(seed);
  while (bisection.state() == Bisection::State::running) {
    const std::size_t commit = bisection.next();
    bisection.observe(commit, (commit >= culprit ? step : 0) + sd * normal(random));
  }
  return {bisection.state(), bisection.culprits(), bisection.runs()};
}

TEST(Bisection, FindsAStepOfTwiceTheNoiseAmong64Commits) {
  constexpr u64 trials = 300;
  u64 right = 0, runs = 0, in_set = 0;
  for (u64 seed = 1; seed <= trials; ++seed) {
    cowfs::Random random(seed);
    const std::size_t culprit = 1 + random.below(63);
    const Outcome outcome = run(Bisection(64, {}, {.seed = seed * 1000}), culprit, 0.05, 0.025, seed + 5000);
    right += outcome.state == Bisection::State::found && outcome.culprits.front() == culprit;
    in_set += std::ranges::count(outcome.culprits, culprit);
    runs += outcome.runs;
  }
  RecordProperty("right", std::to_string(right));
  RecordProperty("runs", std::to_string(runs / trials));
  EXPECT_GE(right, trials * 92 / 100);
  EXPECT_GE(in_set, trials * 93 / 100);
  EXPECT_LE(runs, trials * 60);
}

// A shared machine: one pair is off by as much as the change. It takes more pairs, not another answer.
TEST(Bisection, FindsAStepThatIsNoLargerThanTheNoise) {
  constexpr u64 trials = 100;
  u64 right = 0, gave_up = 0;
  for (u64 seed = 1; seed <= trials; ++seed) {
    const Outcome outcome = run(Bisection(20, {}, {.seed = seed}), 13, 0.08, 0.08, seed);
    right += outcome.state == Bisection::State::found && outcome.culprits.front() == 13;
    gave_up += outcome.state == Bisection::State::no_difference;
  }
  EXPECT_GE(right, trials * 90 / 100);
  EXPECT_EQ(gave_up, 0u);
}

TEST(Bisection, NoStepIsSeldomTakenForOne) {
  u64 found = 0;
  for (u64 seed = 1; seed <= 100; ++seed)
    found += run(Bisection(20, {}, {.seed = seed}), 20, 0, 0.08, seed).state == Bisection::State::found;
  EXPECT_LE(found, 10u);
}

TEST(Bisection, EndsThatDoNotDifferStopIt) {
  u64 stopped = 0;
  for (u64 seed = 1; seed <= 100; ++seed)
    stopped += run(Bisection(64, {}, {.runs_max = 150, .seed = seed}), 64, 0, 0.02, seed).state == Bisection::State::no_difference;
  EXPECT_GE(stopped, 80u);
}

// Commits 3 to 6 do not build: whichever of 3 to 7 changed it, more runs cannot tell.
TEST(Bisection, CommitsThatDoNotBuildAreLeftTogether) {
  Bisection bisection(10);
  for (std::size_t commit = 3; commit <= 6; ++commit) bisection.skip(commit);
  cowfs::Random random(3);
  while (bisection.state() == Bisection::State::running) {
    const std::size_t commit = bisection.next();
    ASSERT_TRUE(commit < 3 || commit > 6);
    bisection.observe(commit, (commit >= 5 ? 0.1 : 0) + 0.01 * normal(random));
  }
  EXPECT_EQ(bisection.state(), Bisection::State::found);
  EXPECT_THAT(bisection.culprits(), testing::UnorderedElementsAre(3, 4, 5, 6, 7));
  EXPECT_NEAR(*bisection.effect(5), std::expm1(0.1), 0.02);
}

TEST(Bisection, ReplayedObservationsResumeIt) {
  cowfs::Random random(9);
  Bisection first(32);
  std::vector<std::pair<std::size_t, double>> log;
  while (first.state() == Bisection::State::running) {
    const std::size_t commit = first.next();
    log.emplace_back(commit, (commit >= 20 ? 0.05 : 0) + 0.02 * normal(random));
    first.observe(commit, log.back().second);
  }
  Bisection again(32);
  for (const auto& [commit, value] : log) {
    ASSERT_EQ(again.state(), Bisection::State::running);
    ASSERT_EQ(again.next(), commit);
    again.observe(commit, value);
  }
  EXPECT_EQ(again.state(), first.state());
  EXPECT_EQ(again.culprits(), first.culprits());
}

TEST(Bisection, WeightsRuleCommitsOut) {
  std::vector<double> weights(16, 1);
  weights[7] = 0;
  const Outcome outcome = run(Bisection(16, weights), 7, 0.2, 0.02, 4);
  EXPECT_THAT(outcome.culprits, testing::Not(Contains(7)));
  EXPECT_THAT(run(Bisection(16), 7, 0.2, 0.02, 4).culprits, ElementsAre(7));
}

TEST(Bisection, ItsProbabilitiesAreOne) {
  Bisection bisection(5);
  for (int i = 0; i < 50; ++i) bisection.observe(static_cast<std::size_t>(i % 5), 0);  // no noise at all
  const std::vector<double> probabilities = bisection.posterior();
  EXPECT_EQ(probabilities[0], 0);
  EXPECT_NEAR(std::accumulate(probabilities.begin(), probabilities.end(), 0.0), 1, 1e-12);
}

TEST(Bisection, BudgetEndsIt) {
  const Outcome outcome = run(Bisection(64, {}, {.runs_max = 20}), 30, 0.05, 0.05, 1);
  EXPECT_EQ(outcome.state, Bisection::State::out_of_runs);
  EXPECT_EQ(outcome.runs, 20u);
}

}  // namespace
}  // namespace cowbench::history
