// Where a run is, as the harness knows it and the dashboards show it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "results/standing.h"

namespace cowbench::results {

struct Progress {
  std::string comparison;  // "disk, 48 clients"
  cowfs::u64 round = 0;    // from 1; 0 before the first
  cowfs::u64 rounds = 0;   // 0: until the interval is narrow or the time is used up
  std::string target;
  std::string phase;  // "prepare", "warm-up", "measure", "delete"
  // Of this phase so far.
  std::optional<double> throughput_mb_s;
  std::optional<double> ops_s;
  std::optional<cowfs::u64> latency_p99_ns;
  std::optional<double> device_write_mb_s, device_read_mb_s;

  std::optional<double> seconds_left;  // of the whole run; of this comparison, at most, where `rounds` is 0
  std::vector<Standing> standings;     // of the targets, after the rounds that have ended
  std::string speed_unit;              // of the standings: "MB/s" or "ops/s"
  std::optional<double> half_width_wanted;  // of the intervals; absent: as many rounds as there are
};

}  // namespace cowbench::results
