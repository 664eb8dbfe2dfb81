// One run of a suite's bench, and what it printed as numbers.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "tracking/suite.h"

namespace cowbench::tracking {

using Values = std::map<std::string, double>;  // by the names of the suite's metrics, all of them

// Runs `command` in `directory`; "{seed}" in its words stands for `seed`. Failures: mismatch: it could not be run,
// ended with another status than 0, or printed no value for a metric of the suite; interrupted.
harness::Outcome<Values> run_bench(const Suite& suite, const Words& command, const std::string& directory, u64 seed);

// Pure: what was printed, as the suite's metrics. Of several values of one name the median is taken. Failure mismatch:
// a metric has none, or it is not a finite number.
harness::Outcome<Values> values_of(const Suite& suite, std::string_view printed);

}  // namespace cowbench::tracking
