// Histories: one seed each. The seeds of CI also show that the simulator is deterministic.
#include "engine/sim/seed_run.h"

#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

constexpr u64 ci_seeds = 1000;
constexpr u64 ci_operations = 400;

TEST(Seeds, each_history_is_sound_and_each_point_fires) {
  u64 operations = 0;
  PointCounts fired{};
  const std::vector<u64> all = seeds(ci_seeds);
  for (u64 seed : all) {
    const SeedResult result = run_seed({.seed = seed, .operations = ci_operations});
    operations += result.operations;
    for (std::size_t point = 0; point < point_count; ++point) fired[point] += result.points[point];
    ASSERT_TRUE(none(result.problems)) << "cowfs-sim --seed " << seed << " --ops " << ci_operations << ": " << result.configuration;
  }
  RecordProperty("operations", static_cast<int>(operations));
  if (all.size() < ci_seeds) return;
  for (std::size_t point = 0; point < point_count; ++point) {
    EXPECT_GT(fired[point], 0u) << cowfs::name(static_cast<Point>(point)) << ": "
                                << cowfs::meaning(static_cast<Point>(point));
  }
}

TEST(Seeds, the_same_seed_is_the_same_history_and_another_is_another) {
  for (u64 seed : seeds(6)) {
    const SeedResult once = run_seed({.seed = seed, .operations = 100});
    EXPECT_EQ(once.trace_hash, run_seed({.seed = seed, .operations = 100}).trace_hash) << seed;
    EXPECT_NE(once.trace_hash, run_seed({.seed = seed + 1000, .operations = 100}).trace_hash) << seed;
  }
}

// The device that was taken in had another identity each time.
TEST(Seeds, a_history_in_which_a_device_is_taken_in_is_the_same_each_time) {
  const SeedOptions options{.seed = 10, .operations = 400};
  const SeedResult once = run_seed(options);
  EXPECT_NE(once.configuration.find("a device is taken in"), std::string::npos) << once.configuration;
  EXPECT_EQ(once.trace_hash, run_seed(options).trace_hash);
}

// Behind a device that failed, a write-back fails at once. What could not be written was dirty again, which woke the flusher; and
// where it failed without waiting at all, the flusher went on with it: for ever.
TEST(Seeds, what_a_failed_device_refused_is_not_tried_again_at_once) {
  EXPECT_TRUE(none(run_seed({.seed = 7, .operations = 300, .faults = {Fault::vanished}}).problems));
}

// What was done is a script, and a script does the same without drawing anything.
TEST(Seeds, a_script_repeats_what_was_drawn) {
  const SeedOptions options{.seed = 3, .operations = 60, .faults = {Fault::none}};
  const SeedResult drawn = run_seed(options);
  SeedOptions again = options;
  again.script = drawn.script;
  const SeedResult repeated = run_seed(again);
  ASSERT_TRUE(none(repeated.problems));
  EXPECT_EQ(operation_count(repeated.script), operation_count(drawn.script));
}

}  // namespace
}  // namespace cowfs::sim
