// What two programs count differently while they run the same load. Pure functions.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "results/statistics.h"

namespace cowbench::attribution {

using CounterRuns = std::map<std::string, std::vector<double>>;  // by name; one value a run

struct CounterChange {
  std::string name;
  double before = 0, after = 0;              // medians over runs
  double difference = 0;                     // after - before, run by run (Hodges-Lehmann)
  std::optional<results::Interval> ci95;     // of the difference; absent with too few runs, and for exact counters
  bool exact = false;                        // each side counts the same in every run
  bool moved = false;                        // see compare_counters
  std::optional<double> relative() const {   // of the difference to `before`
    return before == 0 ? std::nullopt : std::optional(difference / before);
  }
};

// Element i of both sides was measured side by side; names that one side lacks, or not in every run, are left out. An exact
// counter moved if it differs; another if Benjamini and Hochberg let its Wilcoxon signed-rank p stand among those of all (5%).
// Those that moved come first, exact ones before the others, then by the size of their relative change.
std::vector<CounterChange> compare_counters(const CounterRuns& before, const CounterRuns& after);

}  // namespace cowbench::attribution
