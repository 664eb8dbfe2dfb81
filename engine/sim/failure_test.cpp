// The Nth read, write or flush fails, once and for good, for N = 1 until a script runs to its end without meeting it; and
// the same during recovery. Whoever asked gets an error or what was right, nothing that was acknowledged is lost, and
// the medium can be mounted again.
#include <sstream>

#include "engine/sim/explorer.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

using device::SimFaults;

constexpr const char* scripts[] = {
    // Names, in one slice.
    "mkdir /home0/d\ncreate /home0/d/a\nlink /home0/b /home0/d/a\nfsync /home0/b\nrename /home0/d/c /home0/d/a\n"
    "unlink /home0/b\nfsync /home0/d\nsymlink /home0/s /home0/d\nrename /home0/e /home0/d\nsync\nunlink /home0/s",
    // Buffered data, over several regions; a hole; a tail that goes.
    "create /home0/a\nwrite /home0/a 0 150000 1\nfsync /home0/a\nwrite /home0/a 60000 20000 2\npunch /home0/a 8192 8192\n"
    "truncate /home0/a 100001\nfsync /home0/a\nwrite /home0/a 300000 10 3\nsync\nread /home0/a 0 300010",
    // Direct data and tiny files.
    "create /home0/a\nwrite /home0/a 0 65536 1 direct\nwrite /home0/a 4096 4096 2 direct\nfsync /home0/a\ncreate /home0/t\n"
    "write /home0/t 0 100 3\nfsync /home0/t\nread /home0/a 0 65536 direct\nwrite /home0/t 50 2000 4\nfsync /home0/t",
    // Files that lose their names while they are open, and while they are replaced.
    "create /home0/a\nwrite /home0/a 0 9000 1\nhold /home0/a\ncreate /home0/b\nwrite /home0/b 0 5000 2\nsync\n"
    "rename /home0/a /home0/b\nwrite /home0/a 0 4000 3\nfsync /home0/a\nunlink /home0/a\nrelease /home0/a\nsync",
};

Operations parse(const char* script) {
  Operations operations;
  std::istringstream lines{script};
  for (std::string line; std::getline(lines, line);) {
    const std::optional<Operation> operation = parse_operation(line);
    EXPECT_TRUE(operation.has_value()) << line;
    if (operation) operations.push_back(*operation);
  }
  return operations;
}

struct Kind {
  const char* name;
  u64 SimFaults::*at;
  u64 device::DeviceCounts::*count;
};
constexpr Kind kinds[] = {{"read", &SimFaults::read_error_at, &device::DeviceCounts::reads},
                          {"write", &SimFaults::write_error_at, &device::DeviceCounts::writes},
                          {"flush", &SimFaults::flush_error_at, &device::DeviceCounts::flushes}};

ScenarioSettings small_scenario() {
  ScenarioSettings settings;
  settings.format = {.slices = 2, .region_bytes = 64 * kib};
  settings.errors_expected = true;
  return settings;
}

TEST(FailTheNth, request_of_a_script) {
  u64 runs = 0;
  for (const char* script : scripts) {
    for (const Kind& kind : kinds) {
      for (const bool for_good : {false, true}) {
        for (u64 at = 1;; ++at, ++runs) {
          SCOPED_TRACE(std::string(kind.name) + " " + std::to_string(at) + (for_good ? " for good" : "") + " of\n" + script);
          Scenario scenario(small_scenario());
          MountSettings settings = examination_settings(1);
          settings.cores = 2;
          ASSERT_TRUE(scenario.mount(settings)) << none(scenario.problems());
          device::SimDevice& device = scenario.filesystem().device();
          const u64 before = device.counts().*kind.count;
          SimFaults faults;
          faults.*kind.at = at;
          faults.for_good = for_good;
          device.set_faults(faults);
          scenario.run_lists({parse(script)});
          ASSERT_TRUE(none(scenario.problems()));
          const bool met = device.counts().*kind.count - before >= at;
          const Status closed = scenario.filesystem().close();
          const bool met_in_close = device.counts().*kind.count - before >= at;
          EXPECT_TRUE(closed.ok() || met || met_in_close) << to_text(closed.error());
          Random random(at);
          scenario.expect_recovers(device.crash_image(random), at);
          ASSERT_TRUE(none(scenario.problems()));
          if (!met_in_close) break;
        }
      }
    }
  }
  RecordProperty("runs", static_cast<int>(runs));
}

TreeFound look(const Image& image) {
  SimulatedFilesystem filesystem(image, examination_settings(1));
  const Status mounted = filesystem.mount();
  EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  TreeFound found;
  if (!mounted) return found;
  fs::Operations* operations = &filesystem.operations();
  TreeFound* into = &found;
  filesystem.run(0, [operations, into] { return walk_tree(operations, into); });
  return found;
}

TEST(FailTheNth, request_of_a_recovery) {
  for (const char* script : scripts) {
    Scenario scenario(small_scenario());
    ASSERT_TRUE(scenario.mount(examination_settings(1)));
    scenario.run_lists({parse(script)});
    ASSERT_TRUE(none(scenario.problems()));
    scenario.filesystem().device().power_cut();
    scenario.abandon();
    Random random(1);
    const Image crashed = scenario.filesystem().device().crash_image(random);
    const TreeFound expected = look(crashed);
    ASSERT_TRUE(none(expected.problems));
    for (const Kind& kind : kinds) {
      for (const bool for_good : {false, true}) {
        for (u64 at = 1;; ++at) {
          SCOPED_TRACE(std::string(kind.name) + " " + std::to_string(at) + (for_good ? " for good" : "") +
                       " of the recovery after\n" + script);
          SimulatedFilesystem filesystem(crashed, examination_settings(at));
          SimFaults faults;
          faults.*kind.at = at;
          faults.for_good = for_good;
          filesystem.device().set_faults(faults);
          const Status mounted = filesystem.mount();
          const Status closed = mounted ? filesystem.close() : mounted;
          const bool met = filesystem.device().counts().*kind.count >= at;
          EXPECT_TRUE(closed.ok() || met) << to_text(closed.error());
          filesystem.abandon();
          const TreeFound again = look(filesystem.device().crash_image(random));
          ASSERT_TRUE(none(again.problems));
          EXPECT_EQ(again.names, expected.names);
          EXPECT_TRUE(again.contents == expected.contents);
          if (!met) break;
        }
      }
    }
  }
}

}  // namespace
}  // namespace cowfs::sim
