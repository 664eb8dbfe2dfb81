// One load on one or several targets, and the record of it.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/cleanup.h"
#include "harness/environment.h"
#include "harness/kernel_target.h"
#include "harness/media.h"
#include "harness/workload.h"
#include "results/progress.h"
#include "results/record.h"

namespace cowbench::harness {

struct MeasureRequest {
  const Workload* workload = nullptr;  // outlives the run
  std::vector<TargetName> targets;   // no two alike
  std::vector<MediaRequest> media;   // a comparison on each, one after the other
  std::optional<u32> rounds;         // absent: until the interval is narrow or the time is used up
  double budget_seconds = 600;       // of a comparison, without rounds
  std::optional<u64> cache_bytes;    // cowfs's page cache; absent: the load's default
  PinPlan pins;
  std::string keep;                  // directory for what is left to a later run, or was by an earlier one; empty: nothing is
  std::vector<ChangeDuringRound> during;  // in the measured window of each cowfs target
  bool system_call_charge = false;   // each cowfs target also once more with the charge
  u32 calibration_rounds = 1;        // the real program in so many rounds, on targets that the kernel serves; 0: none
  u64 seed = 0;
  std::string command_line;
  std::function<void(const results::Progress&)> progress;  // may be empty
};

// When it began, how it was called, and the machine; nothing measured yet.
results::Record record_of_now(const std::string& command_line, u64 seed, const EnvironmentRequest& environment);

// Whether the run leaves what it makes, or uses what is there.
Keep keep_of(const MeasureRequest& request);

// Failures request: no target, one twice, bad cowfs options, a path that is no directory, no media; changes of devices without a
// cowfs target, or after its window; more than one round of
// one target when something is kept; the load's own.
Action check(const MeasureRequest& request);

// Everything that the run would do to this machine, in the words of a shell where there are such; does nothing.
// Failures: plan_media's.
Outcome<std::vector<std::string>> plan_measurement(const MeasureRequest& request);

struct MeasureReport {
  results::Record record;           // also of a run that was cut short: what was measured until then
  std::optional<Failure> failure;   // what cut it short
};
// Blocks that were read back and were not what was written, in all rounds of all targets.
u64 verify_mismatches(const results::Record& record);
// Precondition: check() is fine.
MeasureReport run_measurement(const MeasureRequest& request, Ledger& ledger);

}  // namespace cowbench::harness
