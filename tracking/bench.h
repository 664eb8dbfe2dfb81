// One run of a suite's bench, and what it printed as numbers.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/random.h"
#include "tracking/suite.h"

namespace cowbench::tracking {

using Values = std::map<std::string, double>;  // by the names of the suite's metrics, of those that were printed
using Printed = std::map<std::string, std::vector<double>>;  // every value of each name

// What decides how runs of several sides are made next to each other.
struct RoundOrder {
  std::vector<std::size_t> sides;  // the first one's number first
  u64 seed;                        // of all of them
};
RoundOrder draw_round(cowfs::Random& random, std::size_t sides);

// Runs `command` in `directory`; "{seed}" in its words stands for `seed`. Failures: mismatch: it could not be run,
// ended with another status than 0, or printed no metric of the suite; interrupted.
harness::Outcome<Values> run_bench(const Suite& suite, const Words& command, const std::string& directory, u64 seed);

// The same, and everything that it printed; of a record also, for each operation of the load, what its engine counted
// ("engine.commit.count_per_operation", "engine.commit.bytes_per_operation") and how long each kind took
// ("operation.Flush.mean_ns").
harness::Outcome<Printed> run_and_read(const Suite& suite, const Words& command, const std::string& directory, u64 seed);

// Pure: what was printed, as the suite's metrics. Of several values of one name the median is taken. Failure mismatch:
// none of them was printed, or one that is not a finite number.
harness::Outcome<Values> values_of(const Suite& suite, std::string_view printed);

}  // namespace cowbench::tracking
