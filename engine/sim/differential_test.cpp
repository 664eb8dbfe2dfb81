// Random operations of several clients on several cores, compared with the model; the filesystem is closed and mounted
// again with other core counts in between.
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/sim/scenario.h"

namespace cowfs::sim {
namespace {

TEST(Differential, clients_see_what_the_model_says_across_remounts) {
  for (u64 seed : seeds(12)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Scenario scenario(seed);
    for (int round = 0; round < 3 && !HasFailure(); ++round) {
      scenario.mount(random_settings(random));
      scenario.run_clients(60);
      scenario.expect_exact();
      scenario.close();
      scenario.mount(random_settings(random));
      scenario.expect_exact();
      scenario.close();
    }
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace cowfs::sim
