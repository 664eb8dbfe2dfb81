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
  double from_percent = 10, to_percent = 95;  // of the highest capacity
  u32 points = 8;
  std::vector<double> shares() const { return rates::shares({from_percent / 100, to_percent / 100, points}); }
};

MeasuredLoad load_of(const std::string& name, std::vector<FioJob> jobs, std::string remark = "") {
  return {std::make_unique<harness::FioWorkload>(harness::FioLoad{name, std::move(jobs)}), {}, std::move(remark)};
}

Outcome<Loads> loads_at(const RateOptions& options, const std::vector<FioJob>& jobs, const results::Record& record) {
  const double capacity = rates::capacity_iops(record.comparisons.front());
  if (capacity == 0) return Failure{FailureKind::failed, "nothing was done without rates, so there is nothing to take shares of", ""};
  Loads loads;
  for (const double share : options.shares())
    loads.push_back(load_of(name_of(options.jobs), rates::at_rate(jobs, share * capacity),
                            fmt::format("at {:.0f}%, {:.0f} a second", 100 * share, share * capacity)));
  return loads;
}

int run_verb(RateOptions options, const std::string& command_line) {
  if (options.measure.media.size() + options.measure.devices.size() > 1)
    return report_failure({FailureKind::request, "rates are shares of what one medium can do", "name one --media or --device"});
  if (options.from_percent > options.to_percent)
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
  const auto curves = [&](const results::Record& record) { return rates::curves(record, options.shares()); };
  const Forms forms{
      [&](const auto& record, const auto& style) { return rates::to_text(curves(record), style); },
      [&](const auto& record) { return rates::to_json(curves(record), record); },
      [&](const auto& record) { return rates::to_html(curves(record), record); },
  };
  return run_measure_verb(options.measure, loads, command_line, forms,
                          [&](const results::Record& so_far) { return loads_at(options, *jobs, so_far); });
}

void add_percent_option(CLI::App& verb, const std::string& name, double& percent, const std::string& what) {
  const auto without_sign = [](std::string& text) {
    if (text.ends_with('%')) text.pop_back();
    return std::string();
  };
  verb.add_option(name, percent, what)
      ->capture_default_str()
      ->check(CLI::Range(1.0, 150.0))
      ->transform(CLI::Validator(without_sign, "PERCENT"));
}

}  // namespace

void add_rate_verb(CLI::App& program, int& exit_code, const std::string& command_line, std::vector<std::string>& arguments) {
  const auto options = std::make_shared<RateOptions>();
  CLI::App* verb = program.add_subcommand(
      "rate", "Find how response times grow with the load: jobs of fio are first run as fast as they go on each target, then at\n"
              "shares of the highest rate, with random gaps. Response times count from when an operation was due. The knee is where\n"
              "operations a second divided by the mean response are highest (docs/fio.md)");
  add_job_options(*verb, options->jobs);
  add_percent_option(*verb, "--from", options->from_percent, "The lowest rate, in percent of the highest capacity");
  add_percent_option(*verb, "--to", options->to_percent, "The highest");
  verb->add_option("--points", options->points, "Rates, evenly between them")->capture_default_str()->check(CLI::Range(1, 100));
  add_measure_options(*verb, options->measure, "fio");
  take_settings(*verb, options->jobs, arguments);
  verb->callback([options, &exit_code, command_line] { exit_code = run_verb(*options, command_line); });
}

}  // namespace cowbench::programs
