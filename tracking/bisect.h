// Finds the commit of a range that changed a metric, on a noisy machine. One thread.
#pragma once
#include <string>
#include <vector>

#include "results/history/bisection.h"
#include "tracking/track.h"

namespace cowbench::tracking {

struct BisectRequest {
  const Suite* suite = nullptr;
  std::string metric;           // one of the suite's
  std::vector<Commit> commits;  // oldest first: without the change, then what may have made it; at least two
  history::BisectionOptions options = {};
  Say say = [](const std::string&) {};
};

struct Suspect {
  std::size_t commit;  // of the request's
  double probability;
};

struct BisectReport {
  history::Bisection::State state = history::Bisection::State::found;
  std::vector<Suspect> suspects;     // the most probable first; together they have the probability that was asked for
  std::optional<double> effect;      // level after the first of them / before it - 1
  std::vector<std::size_t> skipped;  // commits that did not build or run
  u64 observations = 0;              // pairs with the first commit, those of the store included
  u64 runs = 0;                      // runs of the bench made this time
};

// Each observation is a pair of runs, of the first commit and of another. All go through the store, so a search that
// was cut off goes on where it was. Failures: missing: an end of the range cannot be measured; Measurements'.
harness::Outcome<BisectReport> bisect(const BisectRequest& request, Measurements& measurements);

// Schema "cowbench.bisect/1"; docs/tracking.md explains it.
std::string to_json(const BisectRequest& request, const BisectReport& report);

}  // namespace cowbench::tracking
