// What the verbs that measure have in common: their targets, media, rounds, and where the record goes.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dashboards/table.h"
#include "harness/measured_run.h"
#include "workloads/loadfile.h"

namespace CLI {
class App;
}

namespace cowbench::programs {

using harness::u32;
using harness::u64;

struct MeasureOptions {
  std::vector<std::string> targets, media, devices, erase, during;
  std::string directory, size = "8G", cache, pin = "core";
  u32 device_count = 1;
  std::string keep;  // fio
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

struct MeasuredLoad {
  std::unique_ptr<harness::Workload> workload;
  std::optional<harness::PinPlan> pins = {};  // absent: as the options say
  std::string remark = "";                    // tells it from the same load measured in another way
};
using Loads = std::vector<MeasuredLoad>;

// How a record is shown and written.
struct Forms {
  using Record = results::Record;
  std::function<std::string(const Record&, const dashboards::Style&)> text;
  std::function<std::string(const Record&)> json, html;
};
Forms usual_forms();

// The text to standard output, the others to the files that were asked for. False, and said on standard error, when one cannot be
// written.
bool write_results(const MeasureOptions& options, const Forms& forms, const results::Record& record);

// Loads that depend on what was measured before them.
using MoreLoads = std::function<harness::Outcome<Loads>(const results::Record& so_far)>;

// Plans or measures the loads, one after the other, then those that follow from them, and writes one record of what was asked for.
// Returns the exit code.
int run_measure_verb(const MeasureOptions& options, const Loads& loads, const std::string& command_line,
                     const Forms& forms = usual_forms(), const MoreLoads& more = {});

// Of an option like --size. Failure request: it is none; the option is named.
harness::Outcome<u64> size_option(const std::string& option, const std::string& text);

// The dbench load. An empty `file` is set to that of the package dbench. Failures missing: that is not installed;
// request: the line that is wrong.
harness::Outcome<workloads::Program> read_program(std::string& file);
constexpr const char* default_loadfile = "/usr/share/dbench/client.txt";

void add_reproduce_verb(CLI::App& program, int& exit_code, const std::string& command_line);

}  // namespace cowbench::programs
