// Follows a suite over the commits of a range: builds and measures each beside a control, and says which commits
// changed what. One thread.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "results/history/tracker.h"
#include "tracking/eras.h"

namespace cowbench::tracking {

enum class CommitState {
  measured,
  same_build,  // as that of the commit before: nothing to measure
  not_built,
  not_run,  // the bench failed
};
std::string_view name(CommitState state);

struct TrackedCommit {
  Commit commit;
  CommitState state = CommitState::measured;
  std::string note;  // why it was not measured
  std::string build;
  Session session;  // empty unless measured
};

// Commits by their number in the report.
struct TrackedEvent {
  history::Event event;  // of an exact metric: the interval is the ratio itself
  bool worse = false;
  std::optional<double> before, after;  // of an exact metric only: the values
};

struct TrackedSeries {
  SuiteMetric metric;
  bool exact = false;  // false also where the suite says so, but runs of one build differed
  std::vector<TrackedEvent> events;
};

struct TrackReport {
  std::string suite;
  std::vector<TrackedCommit> commits;
  std::vector<Era> eras;  // those after the first
  std::vector<TrackedSeries> series;
  std::vector<history::EventGroup> groups;
  std::vector<std::string> warnings;
  u64 runs = 0;  // made this time
};

using Say = std::function<void(const std::string& line)>;

struct TrackRequest {
  const Suite* suite = nullptr;
  std::vector<Commit> commits;  // oldest first; at least two
  u64 runs = 3;                 // of each commit
  Say say = [](const std::string&) {};
};

// Failures: missing: no commit could be measured, or none prints a metric of the suite; what Measurements fails with, except that a commit that does not
// build or run is only noted. What was measured is stored in any case, and the next call goes on from there.
harness::Outcome<TrackReport> track(const TrackRequest& request, Builds& builds, Measurements& measurements);

// Of the subject to the control; NaN when either is missing or has no logarithm.
double log_ratio(const TrackedCommit& commit, const std::string& metric);

// Whether anything got worse and still is.
bool any_worse(const TrackReport& report);

// Schema "cowbench.track/1"; docs/tracking.md explains it.
std::string to_json(const TrackReport& report);

}  // namespace cowbench::tracking
