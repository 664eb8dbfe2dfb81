// cowbench rate: how long answers take as the load grows.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "harness/fio_workload.h"
#include "programs/fio_jobs.h"
#include "programs/measure_options.h"
#include "programs/verb.h"
#include "rates/curve.h"

namespace cowbench::programs {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using workloads::FioJob;

struct RateOptions {
  MeasureOptions measure;
  FioJobOptions jobs;
  rates::Sweep sweep;
};

MeasuredLoad load_of(const std::string& name, std::vector<FioJob> jobs, std::string remark = "") {
  return {std::make_unique<harness::FioWorkload>(harness::FioLoad{name, std::move(jobs)}), {}, std::move(remark)};
}

Outcome<Loads> loads_at(const RateOptions& options, const std::vector<FioJob>& jobs, const results::Record& record) {
  const double capacity = rates::capacity_iops(record.comparisons.front());
  if (capacity == 0) return Failure{FailureKind::failed, "nothing was done without rates, so there is nothing to take shares of", ""};
  Loads loads;
  for (const double share : shares(options.sweep))
    loads.push_back(load_of(name_of(options.jobs), rates::at_rate(jobs, share * capacity),
                            fmt::format("at {:.0f}%, {:.0f} a second", 100 * share, share * capacity)));
  return loads;
}

int run_verb(RateOptions options, const std::string& command_line) {
  if (options.measure.media.size() + options.measure.devices.size() > 1)
    return report_failure({FailureKind::request, "rates are shares of what one medium can do", "name one --media or --device"});
  if (options.sweep.from > options.sweep.to)
    return report_failure({FailureKind::request, "--from is above --to", ""});
  const auto jobs = read_jobs(options.jobs);
  if (!jobs) return report_failure(jobs.failure());
  if (harness::fio_loads("", *jobs).size() > 1)
    return report_failure({FailureKind::request, "rates are for jobs that run together", "choose them with --section"});
  if (const std::string obstacle = rates::obstacle(*jobs); !obstacle.empty())
    return report_failure({FailureKind::request, obstacle, ""});
  options.measure.no_calibrate = true;
  Loads loads;
  loads.push_back(load_of(name_of(options.jobs), *jobs));
  const auto curves = [&](const results::Record& record) { return rates::curves(record, shares(options.sweep)); };
  const Forms forms{
      [&](const auto& record, const auto& style) { return rates::to_text(curves(record), style); },
      [&](const auto& record) { return rates::to_json(curves(record), record); },
      [&](const auto& record) { return rates::to_html(curves(record), record); },
  };
  return run_measure_verb(options.measure, loads, command_line, forms,
                          [&](const results::Record& so_far) { return loads_at(options, *jobs, so_far); });
}

void add_share_option(CLI::App& verb, const std::string& name, double& share, const std::string& what) {
  verb.add_option(name, share, what)
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"%", 0.01}}))
      ->check(CLI::Range(0.01, 1.5))
      ->default_str(fmt::format("{:.0f}%", 100 * share));
}

}  // namespace

void add_rate_verb(CLI::App& program, int& exit_code, const std::string& command_line, std::vector<std::string>& arguments) {
  const auto options = std::make_shared<RateOptions>();
  CLI::App* verb = program.add_subcommand(
      "rate", "Find how response times grow with the load: jobs of fio are first run as fast as they go on each target, then at\n"
              "shares of the highest rate, with random gaps. Response times count from when an operation was due. The knee is where\n"
              "operations a second divided by the mean response are highest (docs/fio.md)");
  add_job_options(*verb, options->jobs);
  add_share_option(*verb, "--from", options->sweep.from, "The lowest rate, of the highest capacity: 10% or 0.1");
  add_share_option(*verb, "--to", options->sweep.to, "The highest");
  verb->add_option("--points", options->sweep.points, "Rates, evenly between them")->capture_default_str()->check(CLI::Range(1, 100));
  add_measure_options(*verb, options->measure, "fio");
  take_settings(*verb, options->jobs, arguments);
  verb->callback([options, &exit_code, command_line] { exit_code = run_verb(*options, command_line); });
}

}  // namespace cowbench::programs
