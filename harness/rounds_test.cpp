#include "harness/rounds.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "engine/base/random.h"

namespace cowbench::harness {
namespace {

TEST(RoundOrder, TwoTargetsAreAbbaOrBaab) {
  u32 abba = 0;
  for (u32 block = 0; block < 200; ++block) {
    const auto first = order_of_round(2, 2 * block, 7);
    const auto second = order_of_round(2, 2 * block + 1, 7);
    EXPECT_EQ(first[0], second[1]);
    EXPECT_EQ(first[1], second[0]);
    abba += first[0] == 0;
  }
  EXPECT_GT(abba, 60u);  // both happen
  EXPECT_LT(abba, 140u);
}

TEST(RoundOrder, BlocksAreBalancedInPlaceAndInSuccession) {
  for (u32 targets = 1; targets <= 7; ++targets) {
    SCOPED_TRACE(targets);
    const u32 rounds = rounds_in_block(targets);
    for (u32 block = 0; block < 5; ++block) {
      std::map<std::pair<u32, u32>, u32> place, follows;
      for (u32 round = block * rounds; round < (block + 1) * rounds; ++round) {
        const auto order = order_of_round(targets, round, 42);
        std::vector<u32> sorted = order;
        std::ranges::sort(sorted);
        std::vector<u32> all(targets);
        std::iota(all.begin(), all.end(), 0u);
        ASSERT_EQ(sorted, all);
        for (u32 at = 0; at < targets; ++at) ++place[{order[at], at}];
        for (u32 at = 1; at < targets; ++at) ++follows[{order[at - 1], order[at]}];
      }
      EXPECT_EQ(place.size(), targets * targets);
      for (const auto& [key, count] : place) EXPECT_EQ(count, rounds / targets);
      EXPECT_EQ(follows.size(), targets * (targets - 1));
      for (const auto& [key, count] : follows) EXPECT_EQ(count, rounds / targets);
    }
  }
}

TEST(RoundOrder, SameSeedSameOrderOtherSeedOther) {
  u32 same = 0;
  for (u32 round = 0; round < 64; ++round) {
    EXPECT_EQ(order_of_round(4, round, 1), order_of_round(4, round, 1));
    same += order_of_round(4, round, 1) == order_of_round(4, round, 2);
  }
  EXPECT_LT(same, 20u);
}

class FakeExecutor : public RoundExecutor {
 public:
  FakeExecutor(double noise, double seconds_each) : noise_(noise), seconds_each_(seconds_each) {}
  Outcome<double> run(u32 target, u32 round) override {
    now_ += seconds_each_;
    ++runs;
    if (fail_in_round && round == *fail_in_round) return Failure{FailureKind::mismatch, "client 3, line 17", ""};
    const double jitter = (static_cast<double>(random_.below(2001)) / 1000 - 1) * noise_;
    return 100.0 * (target + 1) * (1 + jitter);
  }
  double elapsed_seconds() override { return now_; }
  u32 runs = 0;
  std::optional<u32> fail_in_round;

 private:
  double noise_, seconds_each_;
  double now_ = 0;
  cowfs::Random random_{11};
};

TEST(Rounds, FixedNumberRunsExactlyThat) {
  FakeExecutor executor(0.5, 1000);
  RoundsRequest request;
  request.targets = 3;
  request.stop.rounds = 4;
  u32 reports = 0;
  request.progress = [&](u32, u32, u32 done, u32 expected) {
    EXPECT_EQ(done, reports++);
    EXPECT_EQ(expected, 12u);
  };
  const auto report = run_rounds(request, executor);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->reason, StopReason::fixed_rounds);
  EXPECT_EQ(executor.runs, 12u);
  for (const auto& values : report->values) EXPECT_EQ(values.size(), 4u);
}

TEST(Rounds, StopsWhenNarrowLaterWithMoreNoise) {
  RoundsRequest request;
  request.targets = 2;
  request.stop.budget_seconds = 1e9;
  FakeExecutor quiet(0.001, 1);
  const auto few = run_rounds(request, quiet);
  EXPECT_EQ(few->reason, StopReason::narrow);
  EXPECT_EQ(few->orders.size(), 6u);
  FakeExecutor noisy(0.05, 1);
  const auto more = run_rounds(request, noisy);
  EXPECT_EQ(more->reason, StopReason::narrow);
  EXPECT_GT(more->orders.size(), 6u);
  EXPECT_LE(*log_ratio_half_width(more->values[1], more->values[0]), request.stop.half_width_target);
  FakeExecutor wild(0.9, 1);
  EXPECT_EQ(run_rounds(request, wild)->reason, StopReason::rounds_max);
}

TEST(Rounds, NeverBeginsARoundThatTheBudgetCannotHold) {
  FakeExecutor executor(0.9, 10);
  RoundsRequest request;
  request.targets = 2;
  request.stop.budget_seconds = 95;
  const auto report = run_rounds(request, executor);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->reason, StopReason::budget);
  EXPECT_EQ(report->orders.size(), 4u);  // 20 s each: a fifth would end at 100
  FakeExecutor slow(0.9, 1000);
  EXPECT_EQ(run_rounds(request, slow)->orders.size(), 1u);
}

TEST(Rounds, AFailureEndsThemAll) {
  FakeExecutor executor(0, 1);
  executor.fail_in_round = 2;
  RoundsRequest request;
  request.targets = 2;
  const auto report = run_rounds(request, executor);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.failure().kind, FailureKind::mismatch);
  EXPECT_EQ(executor.runs, 5u);
}

TEST(Rounds, SenselessRequestsAreRefused) {
  FakeExecutor executor(0, 1);
  RoundsRequest request;
  request.targets = 0;
  EXPECT_EQ(run_rounds(request, executor).failure().kind, FailureKind::request);
  request.targets = 1;
  request.stop.rounds = 0;
  EXPECT_EQ(run_rounds(request, executor).failure().kind, FailureKind::request);
}

}  // namespace
}  // namespace cowbench::harness
