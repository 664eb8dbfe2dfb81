#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "harness/fio_workload.h"
#include "programs/fio_jobs.h"
#include "programs/measure_options.h"
#include "programs/verb.h"

namespace cowbench::programs {
namespace {

using harness::Failure;
using harness::FailureKind;
using workloads::FioJob;

struct FioOptions {
  MeasureOptions measure;
  FioJobOptions jobs;
  bool parse_only = false, show_command = false;
  u32 precondition_seconds = 0;
};

int show(const FioOptions& options, const std::vector<FioJob>& jobs) {
  for (const FioJob& job : jobs) {
    if (options.show_command) {
      fmt::print("{}\n", fio_command_line(job));
      continue;
    }
    fmt::print("{}: {} clones, depth {}, {} bytes\n", job.name, job.clones, job.depth, job.size.bytes);
    for (const std::string& moot : job.moot) fmt::print("  no effect: {}\n", moot);
  }
  return exit_ok;
}

int run_verb(const FioOptions& options, const std::string& command_line) {
  auto read = read_jobs(options.jobs);
  if (!read) return report_failure(read.failure());
  std::vector<FioJob>& jobs = *read;
  if (options.parse_only || options.show_command) return show(options, jobs);
  Loads loads;
  for (harness::FioLoad& load : harness::fio_loads(name_of(options.jobs), std::move(jobs))) {
    load.precondition_seconds = options.precondition_seconds;
    if (!options.measure.keep.empty()) load.kept = options.measure.keep + "/progress";
    loads.push_back({std::make_unique<harness::FioWorkload>(std::move(load))});
  }
  if (loads.size() > 1 && !options.measure.keep.empty())
    return report_failure(Failure{FailureKind::request, "--keep is for jobs that run together", "choose them with --section"});
  return run_measure_verb(options.measure, loads, command_line);
}

}  // namespace

void add_fio_verb(CLI::App& program, int& exit_code, const std::string& command_line,
                  std::vector<std::string>& arguments) {
  const auto options = std::make_shared<FioOptions>();
  CLI::App* verb = program.add_subcommand(
      "fio", "Run jobs of fio on one or several filesystems: job files, or fio's own command line (--name=... --rw=...).\n"
             "Options that are not listed here are fio's; so are --size and --directory behind the first --name. With verify=\n"
             "what a job wrote is read back from the target, mounted anew (docs/fio.md)");
  add_job_options(*verb, options->jobs);
  verb->add_flag("--parse-only", options->parse_only, "Check the jobs and stop");
  verb->add_option("--precondition", options->precondition_seconds,
                   "Instead of ramp_time: let each round's load run for windows of so many seconds until they are steady by SNIA's rule\n"
                   "(of five, 20% between the highest and the lowest, a slope of 10%), 25 windows at most")
      ->check(CLI::Range(1, 3600));
  verb->add_flag("--showcmd", options->show_command, "Print each job as a command line of fio and stop");
  add_measure_options(*verb, options->measure, "fio");
  verb->add_option("--keep", options->measure.keep,
                   "Leave what jobs with verify= write: the image (or, of path:DIR, DIR/cowbench-kept) and, in this directory, how far\n"
                   "they came. A later run with the same jobs, --verify_only=1 and the same --keep reads it back, also when this one\n"
                   "was killed: what was fsynced must be there");
  take_settings(*verb, options->jobs, arguments);
  verb->callback([options, &exit_code, command_line] { exit_code = run_verb(*options, command_line); });
}

}  // namespace cowbench::programs
