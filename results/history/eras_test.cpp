#include "results/history/eras.h"

#include <gmock/gmock.h>

#include "results/simulated_noise.h"
#include "results/statistics.h"

namespace cowbench::history {
namespace {

using results::simulated::Noise;
using results::simulated::noises;
using results::simulated::normal;
using results::simulated::run_noise;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr double cv = 0.02;
constexpr std::size_t commits = 100;

// The ratio of two controls at each commit, each the median of three pairs. What both have in common cancels; where the noise
// wanders, a quarter of it is one control's alone.
std::vector<double> controls(Noise noise, cowfs::Random& random) {
  const bool wanders = noise == Noise::drift5 || noise == Noise::drift8;
  const double rho = noise == Noise::drift5 ? 0.5 : 0.8;
  double speed = 0;
  std::vector<double> logs;
  for (std::size_t commit = 0; commit < commits; ++commit) {
    speed = rho * speed + std::sqrt(1 - rho * rho) * normal(random);
    std::vector<double> runs;
    for (int run = 0; run < 3; ++run) runs.push_back(cv * (run_noise(noise, random) - run_noise(noise, random)));
    logs.push_back(results::median(runs) + (wanders ? cv / 4 * speed : 0));
  }
  return logs;
}

TEST(Eras, StartWhereTheMachineChanges) {
  EXPECT_THAT(fingerprint_eras({}), IsEmpty());
  EXPECT_THAT(fingerprint_eras({"a", "a", "b", "b", "a"}), ElementsAre(2u, 4u));
}

TEST(Eras, ControlsThatOnlyScatterStartNone) {
  for (const Noise noise : noises) {
    SCOPED_TRACE(static_cast<int>(noise));
    std::size_t eras = 0;
    for (cowfs::u64 seed = 1; seed <= 200; ++seed) {
      cowfs::Random random(seed);
      eras += control_eras(controls(noise, random)).size();
    }
    EXPECT_LE(eras, 4u);
  }
}

TEST(Eras, ControlsThatMoveApartStartOne) {
  for (const Noise noise : noises) {
    SCOPED_TRACE(static_cast<int>(noise));
    int found = 0;
    for (cowfs::u64 seed = 1; seed <= 200; ++seed) {
      cowfs::Random random(seed);
      std::vector<double> logs = controls(noise, random);
      const std::size_t step = 15 + random.below(70);
      for (std::size_t commit = step; commit < commits; ++commit) logs[commit] += 0.1;
      const auto eras = control_eras(logs);
      found += eras.size() == 1 && eras[0] + 1 >= step && eras[0] <= step + 1;
    }
    EXPECT_GE(found, 190);
  }
}

TEST(Eras, OneChangeThatIsSeenTwiceCountsOnce) {
  EXPECT_THAT(joined_eras({}, {30, 10}), ElementsAre(10u, 30u));
  EXPECT_THAT(joined_eras({20, 50}, {22, 30, 48}), ElementsAre(20u, 30u, 50u));
}

}  // namespace
}  // namespace cowbench::history
