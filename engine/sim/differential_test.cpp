// Random operations of several clients on several cores, compared with the model; the filesystem is closed and mounted
// again with other core counts in between.
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

TEST(Differential, clients_see_what_the_model_says_across_remounts) {
  for (u64 seed : seeds(12)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Scenario scenario(random_scenario(random));
    for (int round = 0; round < 3; ++round) {
      scenario.mount(random_settings(random));
      scenario.run_clients(60);
      scenario.expect_exact();
      scenario.close();
      ASSERT_TRUE(none(scenario.problems()));
      scenario.mount(random_settings(random));
      scenario.expect_exact();
      scenario.close();
      ASSERT_TRUE(none(scenario.problems()));
    }
  }
}

// A symlink that leads nowhere is a name: creating a file exclusively at it made the file that the symlink names.
TEST(Differential, an_exclusive_create_does_not_follow_a_symlink) {
  Scenario scenario({});
  ASSERT_TRUE(scenario.mount({})) << none(scenario.problems());
  scenario.run_lists({{{.kind = OperationKind::symlink, .path = "/home0/s", .other = "/home0/n"},
                       {.kind = OperationKind::create, .path = "/home0/s"},
                       {.kind = OperationKind::create, .path = "/home0/n"},
                       {.kind = OperationKind::create, .path = "/home0/s"}}});
  scenario.expect_exact();
  ASSERT_TRUE(none(scenario.problems()));
}

// What the front of a path leads to is remembered: not across a move or a removal of a directory in it.
TEST(Differential, paths_through_moved_directories) {
  Scenario scenario({});
  ASSERT_TRUE(scenario.mount({})) << none(scenario.problems());
  Operations list;
  for (const char* line :
       {"mkdir /home0/d", "mkdir /home0/d/e", "create /home0/d/e/f", "rename /home0/g /home0/d", "create /home0/d/e/f",
        "create /home0/g/e/f", "mkdir /home0/d", "mkdir /home0/d/e", "create /home0/d/e/h", "unlink /home0/d/e/h",
        "rmdir /home0/d/e", "create /home0/d/e/h", "rename /home0/d/e /home0/g/e", "unlink /home0/d/e/f",
        "create /home0/d/e/f", "create /home0/g/e/f", "mkdir /home0/g/e",
        "create /home0/g/e/k", "rmdir /home0/g", "unlink /home0/g/e/k", "rmdir /home0/g/e", "mkdir /home0/g/e"}) {
    const std::optional<Operation> operation = parse_operation(line);
    ASSERT_TRUE(operation.has_value()) << line;
    list.push_back(*operation);
  }
  scenario.run_lists({list});
  scenario.expect_exact();
  ASSERT_TRUE(none(scenario.problems()));
}

TEST(Operation, text_and_back) {
  for (const char* line : {"mkdir /a", "rename /a /b", "write /home0/n1 4096 100 7 direct", "sync", "truncate /a 5",
                           "hold /a direct", "punch /a 1 2"}) {
    const std::optional<Operation> parsed = parse_operation(line);
    ASSERT_TRUE(parsed.has_value()) << line;
    EXPECT_EQ(to_text(*parsed), line);
  }
  for (const char* line : {"", "mkdir", "write /a 1 2", "fly /a", "sync now please"}) {
    EXPECT_FALSE(parse_operation(line).has_value()) << line;
  }
}

}  // namespace
}  // namespace cowfs::sim
