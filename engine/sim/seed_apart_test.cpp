#include "engine/sim/seed_apart.h"

#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

TEST(SeedApart, is_the_same_history) {
  const SeedOptions options{.seed = 5, .operations = 60};
  const SeedResult here = run_seed(options);
  const SeedResult apart = run_seed_apart(options);
  EXPECT_TRUE(none(apart.problems));
  EXPECT_EQ(apart.trace_hash, here.trace_hash);
  EXPECT_EQ(apart.configuration, here.configuration);
  EXPECT_EQ(apart.operations, here.operations);
  EXPECT_GT(apart.operations, 0u);
}

// An assertion ended cowfs-sim, which then said neither which seed it was nor made it shorter.
TEST(SeedApart, an_assertion_is_a_problem_and_what_is_not_needed_for_it_is_left_out) {
  SeedOptions options{.seed = 5, .operations = 60, .faults = {Fault::none}};
  const Script script = run_seed_apart(options).script;
  ASSERT_GT(operation_count(script), 1u);
  options.cores = 0;  // which no engine runs on
  const SeedResult ended = run_seed_apart(options);
  ASSERT_EQ(ended.problems.size(), 1u);
  EXPECT_TRUE(ended.problems.front().starts_with("ended by")) << ended.problems.front();
  EXPECT_EQ(operation_count(shorten(options, script, 100)), 0u);
}

}  // namespace
}  // namespace cowfs::sim
