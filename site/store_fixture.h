// A made-up history of two targets over commits, for tests. Never part of a program.
#pragma once
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "engine/base/random.h"
#include "results/store/store.h"
#include "results/summary.h"

namespace cowbench::site::fixture {

using store::u64;

struct History {
  u64 commits = 24;
  u64 step_at = 16;           // from here on "cowfs" is slower
  double step = -0.08;
  u64 other_machine_until = 8;  // before this, another kernel
};

inline void add_result(results::Comparison& comparison, const char* target, const char* integrity, double throughput,
                       cowfs::Random& random) {
  const auto noise = [&] { return 1 + 0.01 * (2 * static_cast<double>(random.next() >> 11) * 0x1p-53 - 1); };
  results::TargetResult& result = comparison.results.emplace_back();
  result.target = target;
  result.integrity = integrity;
  for (u64 number = 0; number < comparison.rounds; ++number) {
    results::Round& round = result.rounds.emplace_back();
    round.round = number;
    round.position = number % 2;
    round.measured_seconds = 5;
    const double mb_s = throughput * noise();
    round.metrics = {{"throughput_mb_s", mb_s},
                     {"ops_s", std::floor(mb_s * 180)},
                     {"flush_p99_ns", std::floor(4e9 / mb_s * noise())},
                     {"write_amplification", 1.31},
                     {"device_write_bytes", std::floor(mb_s * 3e6)}};
  }
}

inline store::StoredRun make_run(u64 number, const History& history) {
  cowfs::Random random(number + 1);
  store::StoredRun run;
  run.record.started = fmt::format("2026-10-{:02}T09:30:00Z", 1 + number);
  run.record.command_line = "cowbench dbench 48 --target cowfs --target xfs --db";
  run.record.seed = std::to_string(number);
  results::Environment& environment = run.record.environment;
  environment.kernel = number < history.other_machine_until ? "Linux 6.1.0" : "Linux 6.12.0";
  environment.cpu = "Example CPU @ 2.40GHz";
  environment.cores = 2;
  environment.memory_bytes = 8ull << 30;
  environment.governor = "performance";
  environment.build_type = "Release";
  environment.commit = fmt::format("{:016x}{:024x}", 0x9e3779b97f4a7c15ull * (number + 1), number);
  environment.warnings = {"virtual machine: other guests <may> interfere"};
  results::Comparison& comparison = run.record.comparisons.emplace_back();
  comparison.media = "disk";
  comparison.workload = "dbench client.txt";
  comparison.clients = 48;
  comparison.rounds = 6;
  const double weather = 1 + 0.05 * std::sin(static_cast<double>(number));  // of the machine: the same for all targets
  const double speed = number < history.step_at ? 2870 : 2870 * (1 + history.step);
  add_result(comparison, "cowfs", "crc32c per 4 KiB, fsync=flush", speed * weather, random);
  add_result(comparison, "xfs", "metadata crc, barriers", 554 * weather, random);
  comparison.results[0].subject = true;
  results::summarise(comparison);
  return run;
}

inline std::vector<store::StoredRun> make_history(const History& history = {}) {
  std::vector<store::StoredRun> runs;
  for (u64 number = 0; number < history.commits; ++number) runs.push_back(make_run(number, history));
  store::StoredRun partial = make_run(history.commits, history);
  partial.status = store::RunStatus::partial;
  partial.reason = "xfs: mount <failed>";
  runs.push_back(std::move(partial));
  return runs;
}

}  // namespace cowbench::site::fixture
