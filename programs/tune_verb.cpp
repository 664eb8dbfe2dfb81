// cowbench tune: which checksum, erasure code or layout is best on this host, and what it costs.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <random>

#include "harness/dbench_workload.h"
#include "harness/fio_workload.h"
#include "programs/measure_options.h"
#include "programs/verb.h"
#include "tune/tuning.h"

namespace cowbench::programs {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using tune::Subject;

struct TuneOptions {
  MeasureOptions measure;
  bool micro = false, end_to_end = false;
  u32 clients = 8;
  u32 seconds = 3;
  std::string loadfile;
};

struct Halves {
  bool micro, end_to_end;
};

Outcome<Halves> halves_of(Subject subject, const TuneOptions& options) {
  const bool has_kernels = subject != Subject::layout;
  if (!has_kernels && options.micro)
    return Failure{FailureKind::request, "a layout has no kernels: it is measured end to end only",
                   "leave --micro out"};
  const bool both = options.micro == options.end_to_end;
  return Halves{has_kernels && (both || options.micro), both || options.end_to_end};
}

// Small random writes, as many as the device takes.
Outcome<std::unique_ptr<harness::Workload>> random_writes(u32 seconds) {
  const std::string text = fmt::format(
      "[4k random writes]\nrw=randwrite\nbs=4k\ndirect=1\nioengine=io_uring\niodepth=64\nnumjobs=2\nsize=256m\n"
      "time_based=1\nruntime={}\nramp_time=1\n",
      seconds);
  const auto sections = workloads::parse_fio_text(text, "tune");
  if (const auto* error = std::get_if<workloads::FioError>(&sections))
    return Failure{FailureKind::request, error->to_text(), ""};
  auto jobs = workloads::fio_jobs(std::get<workloads::FioSections>(sections));
  if (const auto* error = std::get_if<workloads::FioError>(&jobs))
    return Failure{FailureKind::request, error->to_text(), ""};
  auto together = harness::fio_loads("tune", std::get<std::vector<workloads::FioJob>>(std::move(jobs)));
  return std::unique_ptr<harness::Workload>(std::make_unique<harness::FioWorkload>(std::move(together.front())));
}

Outcome<Loads> loads_of(const TuneOptions& options, const workloads::Program& program, const std::string& loadfile) {
  harness::DbenchLoad dbench;
  dbench.loadfile = loadfile;
  dbench.program = &program;
  dbench.clients = options.clients;
  dbench.seconds = options.seconds;
  auto writes = random_writes(options.seconds);
  if (!writes) return writes.failure();
  Loads loads;
  loads.push_back({std::make_unique<harness::DbenchWorkload>(std::move(dbench))});
  loads.push_back({std::move(*writes)});
  return loads;
}

int end_to_end(TuneOptions options, const tune::Tuning& tuning, const std::string& command_line, const Forms& forms) {
  const auto program = read_program(options.loadfile);
  if (!program) return report_failure(program.failure());
  const auto loads = loads_of(options, *program, options.loadfile);
  if (!loads) return report_failure(loads.failure());
  for (const tune::Setting& setting : tuning.settings) options.measure.targets.push_back(setting.target);
  options.measure.no_calibrate = true;
  return run_measure_verb(options.measure, *loads, command_line, forms);
}

// Of one filesystem: the fewest that a medium has.
u64 devices_of(const MeasureOptions& options) {
  u64 fewest = options.device_count;
  for (const std::string& named : options.devices) {
    const u64 count = static_cast<u64>(std::ranges::count(named, ',')) + 1;
    fewest = &named == &options.devices.front() ? count : std::min(fewest, count);
  }
  return fewest;
}

int run_verb(Subject subject, TuneOptions options, const std::string& command_line) {
  if (subject == Subject::ec && options.measure.devices.empty() && options.measure.device_count == 1)
    options.measure.device_count = tune::ec_devices;
  const auto halves = halves_of(subject, options);
  if (!halves) return report_failure(halves.failure());
  const auto size = size_option("--size", options.measure.size);
  if (!size) return report_failure(size.failure());
  tune::Tuning tuning{.subject = subject, .micro = {}, .settings = {}};
  if (halves->end_to_end) tuning.settings = tune::settings(subject, *size, devices_of(options.measure));
  const u64 seed = options.measure.seed != 0 ? options.measure.seed : std::random_device{}();
  if (halves->micro && !options.measure.plan) {
    tune::MicroRequest request;
    if (options.measure.rounds != 0) request.rounds = options.measure.rounds;
    request.seed = seed;
    tuning.micro = subject == Subject::ec ? measure_erasure_codes(request) : measure_checksums(request);
  }
  const Forms forms{
      [&](const auto& record, const auto& style) { return tune::to_text(tuning, record, style); },
      [&](const auto& record) { return tune::to_json(tuning, record); },
      [&](const auto& record) { return tune::to_html(tuning, record); },
  };
  if (halves->end_to_end) return end_to_end(options, tuning, command_line, forms);
  if (options.measure.plan) return fmt::print("# measure kernels on one core, in memory\n"), exit_ok;
  return write_results(options.measure, forms, harness::record_of_now(command_line, seed, {})) ? exit_ok
                                                                                               : exit_run_failed;
}

void add_subject(CLI::App& tune, Subject subject, const std::string& name, const std::string& what, int& exit_code,
                 const std::string& command_line) {
  const auto options = std::make_shared<TuneOptions>();
  CLI::App* verb = tune.add_subcommand(name, what);
  verb->add_flag("--micro", options->micro, "Only the kernels, on one core: GB/s by size, in the caches and beyond");
  verb->add_flag("--end-to-end", options->end_to_end,
                 "Only loads on cowfs with each setting: dbench, and 4k random writes (of ec on six images, unless --devices says another number)");
  verb->add_option("--clients", options->clients, "Of dbench")->capture_default_str()->check(CLI::Range(1, 4096));
  verb->add_option("-t,--seconds", options->seconds, "Measured seconds of a round of each load")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  verb->add_option("-c,--loadfile", options->loadfile,
                   fmt::format("Of dbench (default: {}, of the package dbench)", default_loadfile));
  add_measure_options(*verb, options->measure, "dbench");
  for (const char* moot : {"--target", "--calibrate", "--no-calibrate", "--syscall-charge"})
    verb->remove_option(verb->get_option(moot));
  verb->callback(
      [subject, options, &exit_code, command_line] { exit_code = run_verb(subject, *options, command_line); });
}

}  // namespace

void add_tune_verb(CLI::App& program, int& exit_code, const std::string& command_line) {
  CLI::App* verb = program.add_subcommand("tune",
                                          "Find the best setting on this host, with its interval and its cost: kernels "
                                          "on one core, then loads on cowfs with each\n"
                                          "setting in turn, in rounds as every comparison has them (docs/tune.md)");
  verb->require_subcommand(1);
  add_subject(*verb, Subject::checksum, "checksum", "Checksums of data: none, crc32c, crc64, xxh3", exit_code,
              command_line);
  add_subject(*verb, Subject::ec, "ec", "Erasure codes: parity and recovery by k+m and kernel", exit_code,
              command_line);
  add_subject(*verb, Subject::layout, "layout", "Sizes chosen at format: buckets, number of slices", exit_code,
              command_line);
}

}  // namespace cowbench::programs
