// Power cuts: right after an fsync was acknowledged, and at any moment.
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

TEST(Crash, what_was_synced_is_there_in_every_crash_image) {
  u64 crashes = 0;
  for (u64 seed : seeds(12)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Scenario scenario(random_scenario(random));
    scenario.mount(random_settings(random));
    scenario.try_crashes_after_syncs(4);
    scenario.run_clients(100);
    crashes += scenario.crashes_tried();
    ASSERT_TRUE(none(scenario.problems()));
    scenario.expect_exact();
    ASSERT_TRUE(none(scenario.problems()));
    scenario.close();
  }
  RecordProperty("crashes", static_cast<int>(crashes));
}

TEST(Crash, a_power_cut_at_any_moment_leaves_a_moment_of_history) {
  for (u64 seed : seeds(20)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    ScenarioSettings settings = random_scenario(random);
    settings.errors_expected = true;
    Scenario scenario(settings);
    scenario.mount(random_settings(random));
    scenario.filesystem().device().set_faults({.power_cut_at = 1 + random.below(600)});
    scenario.run_clients(200);
    ASSERT_TRUE(none(scenario.problems()));
    scenario.filesystem().device().power_cut();
    scenario.abandon();
    for (int i = 0; i < 2; ++i) {
      scenario.expect_recovers(scenario.filesystem().device().crash_image(random), random.next());
      ASSERT_TRUE(none(scenario.problems()));
    }
  }
}

// Errors reach the caller, who stops; nothing that was acknowledged is lost.
TEST(DeviceErrors, one_failing_request_loses_nothing_acknowledged) {
  for (u64 seed : seeds(20)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    ScenarioSettings settings = random_scenario(random);
    settings.errors_expected = true;
    Scenario scenario(settings);
    scenario.mount(random_settings(random));
    device::SimFaults faults;
    const u64 at = 1 + random.below(300);
    switch (seed % 3) {
      case 0:
        faults.write_error_at = at;
        break;
      case 1:
        faults.flush_error_at = 1 + at / 10;
        break;
      default:
        faults.read_error_at = 1 + at / 10;
    }
    scenario.filesystem().device().set_faults(faults);
    scenario.run_clients(150);
    ASSERT_TRUE(none(scenario.problems()));
    scenario.abandon();
    scenario.expect_recovers(scenario.filesystem().device().crash_image(random), random.next());
    ASSERT_TRUE(none(scenario.problems()));
  }
}

}  // namespace
}  // namespace cowfs::sim
