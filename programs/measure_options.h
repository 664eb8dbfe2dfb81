// What the verbs that measure have in common: their targets, media, rounds, and where the record goes.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "harness/measured_run.h"

namespace CLI {
class App;
}

namespace cowbench::programs {

using harness::u32;
using harness::u64;

struct MeasureOptions {
  std::vector<std::string> targets, media, devices, erase;
  std::string directory, size = "8G", cache, pin = "core";
  u32 rounds = 0;  // 0: the default
  double budget_seconds = 0;
  u32 cores = 0;
  u32 calibration_rounds = 1;
  bool no_calibrate = false, system_call_charge = false, plan = false, strict = false;
  u64 seed = 0;
  std::string json, html, db;
};

// `reference`: the real program that --calibrate runs.
void add_measure_options(CLI::App& verb, MeasureOptions& options, const std::string& reference);

using Workloads = std::vector<std::unique_ptr<harness::Workload>>;

// Plans or measures the loads, one after the other, and writes one record of what was asked for. Returns the exit code.
int run_measure_verb(const MeasureOptions& options, const Workloads& workloads, const std::string& command_line);

}  // namespace cowbench::programs
