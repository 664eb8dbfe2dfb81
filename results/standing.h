// How the targets of a comparison stand while it is under way. Pure functions.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "results/record.h"

namespace cowbench::results {

// Of one target, over the rounds of it that have ended.
struct Standing {
  std::string target;
  double speed = 0;                      // median of the comparison's main metric
  std::optional<u64> latency_p99_ns;     // of all operations of the measured seconds
  std::optional<double> device_write_mb_s;
  std::optional<Ratio> ratio;            // what is under test / this, in the main metric; absent for what is under test
  std::optional<double> half_width_first, half_width;  // of the 95% interval of its logarithm: after the first six rounds, and now
};

// Of the targets that have ended a round. Precondition: summarise() has been called.
std::vector<Standing> standings(const Comparison& comparison);

}  // namespace cowbench::results
