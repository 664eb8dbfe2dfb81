// A record of the made-up kind that is small and of which there may be many, for tests and benches.
#pragma once
#include <fmt/format.h>

#include "engine/base/random.h"
#include "results/store/run.h"
#include "results/summary.h"

namespace cowbench::store::fixture {

struct Shape {
  u64 targets = 2, metrics = 3, rounds = 4;
};

// `number` orders runs by their start; the values follow from it.
inline StoredRun make_run(u64 number, Shape shape = {}) {
  cowfs::Random random(number + 1);
  const auto uniform = [&] { return static_cast<double>(random.next() >> 11) * 0x1p-53; };
  StoredRun run;
  run.record.started = fmt::format("2026-01-01T{:02}:{:02}:{:02}Z", number / 3600, number / 60 % 60, number % 60);
  run.record.command_line = "cowbench dbench 4";
  run.record.seed = std::to_string(number);
  run.record.environment.kernel = "Linux 6.1";
  run.record.environment.commit = fmt::format("{:040x}", number);
  results::Comparison& comparison = run.record.comparisons.emplace_back();
  comparison.media = "disk";
  comparison.workload = "dbench client.txt";
  comparison.clients = 4;
  comparison.rounds = shape.rounds;
  for (u64 target = 0; target < shape.targets; ++target) {
    results::TargetResult& result = comparison.results.emplace_back();
    result.target = fmt::format("target{}", target);
    result.integrity = "crc32c, fsync=flush";
    for (u64 number_of_round = 0; number_of_round < shape.rounds; ++number_of_round) {
      results::Round& round = result.rounds.emplace_back();
      round.round = number_of_round;
      round.seed = std::to_string(random.next());
      round.measured_seconds = 10 + uniform() / 100;
      round.operations = random.below(1'000'000);
      // A name of the metric table first, so that there are ratios.
      for (u64 metric = 0; metric < shape.metrics; ++metric)
        round.metrics[metric == 0 ? "throughput_mb_s" : fmt::format("metric{}", metric)] = 1000 * (1 + uniform());
    }
  }
  results::summarise(comparison);
  return run;
}

}  // namespace cowbench::store::fixture
