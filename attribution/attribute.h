// Why one commit is slower or faster than another: what both count and where their processor time goes, measured side by
// side. One thread.
#pragma once
#include <string>
#include <vector>

#include "attribution/counters.h"
#include "attribution/profile.h"
#include "tracking/builds.h"
#include "tracking/track.h"

namespace cowbench::attribution {

struct AttributeRequest {
  const tracking::Suite* suite = nullptr;
  tracking::Commit before, after;
  u64 pairs = 12;         // of runs, for the counters
  u64 profiles = 6;       // pairs of runs under the profiler; 0: none
  u64 frequency_hz = 499;  // samples a second and processor; not a round number, so that no timer keeps step with it
  tracking::Say say = [](const std::string&) {};
};

struct Attribution {
  std::string suite;
  tracking::Commit before, after;
  bool same_build = false;               // nothing was measured then
  u64 pairs = 0, profiles = 0;
  std::vector<CounterChange> counters;   // the suite's metrics and whatever else the bench printed
  std::vector<FunctionChange> functions;
  Profile profile_before, profile_after; // of all runs together
  std::vector<std::string> warnings;     // such as why there is no profile
};

// Each pair is a run of both in an order drawn by lot, with one seed. Profiles are taken with perf (cpu-clock, stacks by frame
// pointers) of the bench and what it starts, in runs of their own; what the kernel does in threads of its own is not in them.
// Failures: failed: a commit does not build; mismatch: its bench does not run; interrupted.
harness::Outcome<Attribution> attribute(const AttributeRequest& request, tracking::Builds& builds);

}  // namespace cowbench::attribution
