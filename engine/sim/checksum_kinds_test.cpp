// Kinds of checksums that change between mounts: whatever was written keeps its kind, through copygc, cuts and crashes.
#include <gtest/gtest.h>

#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

TEST(ChecksumKinds, may_change_at_every_mount) {
  for (const u64 seed : seeds(4)) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    ScenarioSettings settings = random_scenario(random);
    Scenario scenario(settings);
    scenario.try_crashes_after_syncs(32);
    for (std::size_t round = 0; round < checksum_kinds.size() && scenario.sound(); ++round) {
      MountSettings mount = random_settings(random);
      mount.changes.data_checksum = checksum_kinds[(seed + round) % checksum_kinds.size()];
      mount.changes.metadata_checksum = random_metadata_checksum(random);
      if (!scenario.mount(mount)) break;
      scenario.run_clients(150);
      if (scenario.sound()) scenario.expect_exact();
      scenario.close();
    }
    ASSERT_TRUE(none(scenario.problems()));
  }
}

}  // namespace
}  // namespace cowfs::sim
