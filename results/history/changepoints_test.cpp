#include "results/history/changepoints.h"

#include <gmock/gmock.h>

#include "results/simulated_noise.h"

namespace cowbench::history {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using Values = std::vector<double>;

// By integrating Student's density numerically, apart from this code.
TEST(Welch, KnownValues) {
  EXPECT_NEAR(welch_p(Values{1, 2, 3, 4, 5}, Values{2, 3, 4, 5, 6}), 0.3465935071, 1e-9);
  EXPECT_NEAR(welch_p(Values{1, 2, 3}, Values{10, 11, 12.5, 13}), 0.0001232988, 1e-9);
  EXPECT_EQ(welch_p(Values{1, 1, 1}, Values{1, 1}), 1);
  EXPECT_EQ(welch_p(Values{1, 1, 1}, Values{2, 2}), 0);
  EXPECT_EQ(welch_p(Values{1}, Values{2, 3}), 1);
}

TEST(Changes, AStepWithoutNoiseIsExact) {
  Values logs(60);
  std::fill(logs.begin() + 23, logs.end(), std::log(1.1));
  const auto changes = detect_changes(logs);
  ASSERT_THAT(changes, SizeIs(1));
  EXPECT_EQ(changes[0].at, 23u);
  EXPECT_NEAR(changes[0].effect, 0.1, 1e-12);
}

TEST(Changes, NothingToFind) {
  EXPECT_THAT(detect_changes({}), IsEmpty());
  EXPECT_THAT(detect_changes(Values{1}), IsEmpty());
  EXPECT_THAT(detect_changes(Values(200, 3.0)), IsEmpty());
  Values small(60);
  std::fill(small.begin() + 30, small.end(), 0.01);  // below what counts
  EXPECT_THAT(detect_changes(small), IsEmpty());
}

TEST(Changes, SeveralStepsInALongHistoryAreAllFound) {
  cowfs::Random random(1);
  Values logs;
  for (int i = 0; i < 400; ++i) logs.push_back(0.1 * (i / 100) + 0.02 * results::simulated::normal(random));
  const auto changes = detect_changes(logs, {.p_max = 1e-4, .effect_min = 0.02, .segment_min = 4});
  ASSERT_THAT(changes, SizeIs(3));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(static_cast<double>(changes[i].at), 100.0 * static_cast<double>(i + 1), 2);
}

}  // namespace
}  // namespace cowbench::history
