// The Nth read, write or flush fails, once and for good, for N = 1 until a script runs to its end without meeting it; and
// the same during recovery. Whoever asked gets an error or what was right, nothing that was acknowledged is lost, and
// the medium can be mounted again. The same for the Nth request for space, which does no more than refuse operations.
#include <fcntl.h>

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

struct Refusal {
  const char* name;
  u64 SpaceFaults::*at;
  u64 SpaceRequests::*count;
  bool for_good;
};
// Without a lease for ever, a slice would wait for buckets that the tokens have promised: that cannot happen.
constexpr Refusal refusals[] = {{"tokens", &SpaceFaults::tokens_refused_at, &SpaceRequests::tokens, false},
                                {"tokens", &SpaceFaults::tokens_refused_at, &SpaceRequests::tokens, true},
                                {"lease", &SpaceFaults::lease_refused_at, &SpaceRequests::leases, false}};

TEST(FailTheNth, request_for_space) {
  u64 met_in_all = 0;
  for (const char* script : scripts) {
    for (const Refusal& refusal : refusals) {
      for (u64 at = 1;; ++at) {
        SCOPED_TRACE(std::string(refusal.name) + " " + std::to_string(at) + (refusal.for_good ? " for good" : "") +
                     " of\n" + script);
        ScenarioSettings scenario_settings = small_scenario();
        scenario_settings.errors_expected = false;
        scenario_settings.refusals = Refusals::of_any;
        Scenario scenario(scenario_settings);
        MountSettings settings = examination_settings(1);
        settings.cores = 2;
        ASSERT_TRUE(scenario.mount(settings)) << none(scenario.problems());
        RationedState& state = scenario.filesystem().state();
        const u64 before = state.requests().*refusal.count;
        SpaceFaults faults;
        faults.*refusal.at = at;
        faults.for_good = refusal.for_good;
        state.set_faults(faults);
        scenario.run_lists({parse(script)});
        ASSERT_TRUE(none(scenario.problems()));
        const bool met = state.requests().*refusal.count - before >= at;
        const Status closed = scenario.filesystem().close();
        const bool refused = !closed.ok() && error_class(closed.error().code) == ErrorClass::space;
        EXPECT_TRUE(closed.ok() || refused) << to_text(closed.error());
        scenario.expect_recovers(scenario.filesystem().device().crash_image_all_lost(), at);
        ASSERT_TRUE(none(scenario.problems()));
        expect_sound(scenario.filesystem().device().image());
        if (!met) break;
        ++met_in_all;
      }
    }
  }
  EXPECT_GT(met_in_all, 0u);
}

Task<Status> make_directories(fs::Operations* operations, std::string prefix) {
  for (int i = 0; i < 30; ++i) {
    const std::string path = prefix + std::to_string(i);
    const Status made = co_await operations->mkdir(path, 0755);
    if (!made) co_return made;
  }
  co_return co_await operations->sync();
}

// Nodes counted as written when the device had refused them: they were read from where nothing had been written, and the next
// checkpoint named them in its header. It also let go of the history that the one before had failed to replace, and of its list
// of buckets twice.
TEST(Checkpoints, the_one_after_a_failure_is_whole) {
  const Image image = make_filesystem({.slices = 2});
  u64 made_up_for = 0;
  for (u64 at = 1;; ++at) {
    SCOPED_TRACE("write " + std::to_string(at));
    SimulatedFilesystem filesystem(image, examination_settings(at));
    ASSERT_TRUE(filesystem.mount().ok());
    fs::Operations* operations = &filesystem.operations();
    fs::CoreState* core = &filesystem.state().core(0);
    ASSERT_TRUE(filesystem.run(0, [=] { return make_directories(operations, "/a"); }).ok());
    const u64 before = filesystem.device().counts().writes;
    filesystem.device().set_faults({.write_error_at = at});
    const Status failed = filesystem.run(0, [=] { return core->checkpoint_all(); });
    const bool met = filesystem.device().counts().writes - before >= at;
    EXPECT_EQ(failed.ok(), !met);
    core->nodes().evict_all();
    const Status changed = filesystem.run(0, [=] { return make_directories(operations, "/b"); });
    const Status done = filesystem.run(0, [=] { return core->checkpoint_all(); });
    EXPECT_EQ(done.ok(), changed.ok());  // a commit that failed is the end of the journal
    made_up_for += met && done.ok();
    filesystem.abandon();
    const Image left = filesystem.device().crash_image_all_lost();
    expect_sound(left);
    const TreeFound found = look(left);
    ASSERT_TRUE(none(found.problems));
    EXPECT_EQ(found.names.contains("/a29"), true);
    EXPECT_EQ(found.names.contains("/b29"), changed.ok());
    if (!met) break;
  }
  EXPECT_GE(made_up_for, 2u);
}

constexpr u64 limit_ns = MountSettings{}.io_limit_ns;

Task<Status> make_file(fs::Operations* operations) {
  const Result<FileHandle> handle = co_await operations->open("/file", O_RDWR | O_CREAT, 0644);
  if (!handle) co_return handle.error();
  const std::vector<std::byte> data(100, std::byte{5});  // so little that no write but the journal's has it
  const Result<u64> written = co_await operations->write(*handle, 0, data);
  if (!written) co_return written.error();
  const Status synced = co_await operations->fsync(*handle);
  const Status closed = co_await operations->close(*handle);
  co_return synced ? closed : synced;
}

// A commit that waited for a device that does not answer would wait as long as the device: nobody was told anything.
TEST(Hung, whoever_waits_for_a_commit_is_told_in_time) {
  const Image image = make_filesystem({.slices = 2});
  u64 told = 0;
  for (u64 at = 1;; ++at) {
    SCOPED_TRACE("request " + std::to_string(at));
    SimulatedFilesystem filesystem(image, examination_settings(at));
    ASSERT_TRUE(filesystem.mount().ok());
    const u64 before = requests(filesystem.device());
    filesystem.device().set_faults({.hang_at = at});
    const u64 began_ns = filesystem.cores().now_ns();
    fs::Operations* operations = &filesystem.operations();
    const Status made = filesystem.run(0, [operations] { return make_file(operations); });
    const u64 took_ns = filesystem.cores().now_ns() - began_ns;
    if (requests(filesystem.device()) - before < at) {
      EXPECT_TRUE(made.ok()) << to_text(made.error());
      break;
    }
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(error_class(made.error().code), ErrorClass::io) << to_text(made.error());
    EXPECT_LT(took_ns, 2 * limit_ns);
    ++told;
    filesystem.abandon();
    expect_sound(filesystem.device().crash_image_all_lost());
  }
  EXPECT_GE(told, 3u);
}

struct Budget {
  const char* name;
  void (*shrink)(MountSettings&);
};
constexpr Budget budgets[] = {{"page cache", [](MountSettings& settings) { settings.cache_bytes = 256 * kib; }},
                              {"nodes", [](MountSettings& settings) { settings.node_cache_bytes = 64 * kib; }},
                              {"inodes", [](MountSettings& settings) { settings.inodes_max = 1; }}};

// Memory comes in budgets, and what does not fit waits: nothing is refused and nobody waits for ever, however small
// they are.
TEST(Budgets, that_are_used_up_make_everybody_wait_and_nobody_fail) {
  for (const Budget& budget : budgets) {
    for (u64 seed : seeds(4)) {
      SCOPED_TRACE(std::string(budget.name) + ", seed " + std::to_string(seed));
      Scenario scenario({.seed = seed, .format = {.journal_bytes = 4 * mib}, .clients = 3});
      MountSettings settings{.seed = seed};
      budget.shrink(settings);
      ASSERT_TRUE(scenario.mount(settings)) << none(scenario.problems());
      scenario.run_clients(120);
      ASSERT_TRUE(none(scenario.problems()));
      scenario.expect_exact();
      scenario.close();
      ASSERT_TRUE(none(scenario.problems()));
    }
  }
}

}  // namespace
}  // namespace cowfs::sim
