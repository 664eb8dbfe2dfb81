// Every power cut of every short sequence of operations.
#include <chrono>
#include <cstdio>

#include "engine/sim/seeds_test_internal.h"
#include "engine/sim/sequences.h"

namespace cowfs::sim {
namespace {

class Clock {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void say(const SequenceRunner& runner, const Clock& clock) {
  const ExplorerCounts& counts = runner.counts();
  std::printf("%llu sequences, %llu moments, %llu crash states, %llu of them distinct, %llu more during recovery; %.1f s\n",
              static_cast<unsigned long long>(runner.sequences()), static_cast<unsigned long long>(counts.moments),
              static_cast<unsigned long long>(counts.states), static_cast<unsigned long long>(counts.distinct),
              static_cast<unsigned long long>(counts.deeper), clock.seconds());
}

TEST(Explorer, every_power_cut_of_every_single_operation) {
  const Clock clock;
  SequenceRunner runner({}, true);
  for (u64 index = 0; index < sequence_count(1); index += share_of_seeds) {
    ASSERT_TRUE(runner.run(sequence(1, index), index)) << none(runner.problems());
  }
  say(runner, clock);
}

TEST(Explorer, every_power_cut_of_some_pairs_of_operations) {
  for (const bool single_flush : {false, true}) {
    const Clock clock;
    for (u64 seed : seeds(1)) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", single flush " << single_flush);
      Random random(seed);
      SequenceRunner runner({.seed = seed}, single_flush);
      while (runner.counts().states < 15'000 / share_of_seeds) {
        ASSERT_TRUE(runner.run(sequence(2, random.below(sequence_count(2))), random.next())) << none(runner.problems());
      }
      say(runner, clock);
    }
  }
}

}  // namespace
}  // namespace cowfs::sim
