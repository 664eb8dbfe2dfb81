// Where a run is, as the harness knows it and the dashboards show it.
#pragma once
#include <optional>
#include <string>

#include "engine/base/types.h"

namespace cowbench::results {

struct Progress {
  std::string comparison;  // "disk, 48 clients"
  cowfs::u64 round = 0;    // from 1; 0 before the first
  cowfs::u64 rounds = 0;
  std::string target;
  std::string phase;                      // "mkfs", "warm-up", "measure", "unmount"
  std::optional<double> throughput_mb_s;  // of this round so far
  std::optional<double> seconds_left;     // of the whole run
};

}  // namespace cowbench::results
