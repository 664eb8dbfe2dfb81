#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "harness/fio_workload.h"
#include "programs/measure_options.h"
#include "programs/verb.h"

namespace cowbench::programs {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using workloads::FioError;
using workloads::FioJob;
using workloads::FioSections;

struct FioOptions {
  MeasureOptions measure;
  std::vector<std::string> files, sections;
  std::vector<std::string> settings;  // on the command line, as fio spells them
  bool parse_only = false, show_command = false;
};

// Both programs have these; behind the first --name they describe a job.
bool is_shared(std::string_view option) { return option == "--size" || option == "--directory"; }

// Moves fio's own options, each with its value, out of the arguments of `verb`: those that it does not have, and behind the
// first --name those that both have.
std::vector<std::string> take_settings(const CLI::App& verb, std::vector<std::string>& arguments) {
  std::vector<std::string> ours, settings;
  bool in_job = false, last_is_setting = false;
  for (std::string& argument : arguments) {
    const bool is_option = argument.starts_with("--") && argument.size() > 2;
    if (is_option) {
      const std::string option = argument.substr(0, argument.find('='));
      in_job = in_job || option == "--name";
      last_is_setting = verb.get_option_no_throw(option) == nullptr || (in_job && is_shared(option));
    }
    const bool detached_value = !is_option && last_is_setting && settings.back().find('=') == std::string::npos;
    const bool is_setting = is_option ? last_is_setting : detached_value;
    (is_setting ? settings : ours).push_back(std::move(argument));
    if (!is_option) last_is_setting = false;
  }
  arguments = std::move(ours);
  return settings;
}

Outcome<FioSections> read_sections(const FioOptions& options) {
  FioSections sections;
  const auto add = [&](workloads::FioResult<FioSections> read) -> std::optional<Failure> {
    if (const auto* error = std::get_if<FioError>(&read)) return Failure{FailureKind::request, error->to_text(), ""};
    for (auto& section : std::get<FioSections>(read)) sections.push_back(std::move(section));
    return {};
  };
  for (const std::string& file : options.files)
    if (auto failure = add(workloads::read_fio_file(file))) return *failure;
  const std::size_t from_files = sections.size();
  if (!options.settings.empty())
    if (auto failure = add(workloads::parse_fio_arguments(options.settings))) return *failure;
  // As in fio, what stands before the first --name is a default of the files' jobs, too.
  if (sections.size() > from_files && sections[from_files].is_global())
    std::rotate(sections.begin(), sections.begin() + static_cast<std::ptrdiff_t>(from_files),
                sections.begin() + static_cast<std::ptrdiff_t>(from_files) + 1);
  if (!options.sections.empty()) {
    std::erase_if(sections, [&](const workloads::FioSection& section) {
      return !section.is_global() && std::ranges::find(options.sections, section.name) == options.sections.end();
    });
  }
  return sections;
}

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
  const auto sections = read_sections(options);
  if (!sections) return report_failure(sections.failure());
  auto read = workloads::fio_jobs(*sections);
  if (const auto* error = std::get_if<FioError>(&read))
    return report_failure(Failure{FailureKind::request, error->to_text(), ""});
  auto& jobs = std::get<std::vector<FioJob>>(read);
  if (options.parse_only || options.show_command) return show(options, jobs);
  Loads loads;
  const std::string name = options.files.empty() ? "command line" : options.files.front();
  for (harness::FioLoad& load : harness::fio_loads(name, std::move(jobs))) {
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
  verb->add_option("JOB.fio", options->files, "Job files");
  verb->add_option("--section", options->sections, "Only these jobs")->allow_extra_args(false);
  verb->add_flag("--parse-only", options->parse_only, "Check the jobs and stop");
  verb->add_flag("--showcmd", options->show_command, "Print each job as a command line of fio and stop");
  add_measure_options(*verb, options->measure, "fio");
  verb->add_option("--keep", options->measure.keep,
                   "Leave what jobs with verify= write: the image (or, of path:DIR, DIR/cowbench-kept) and, in this directory, how far\n"
                   "they came. A later run with the same jobs, --verify_only=1 and the same --keep reads it back, also when this one\n"
                   "was killed: what was fsynced must be there");
  if (!arguments.empty() && arguments.front() == verb->get_name()) options->settings = take_settings(*verb, arguments);
  verb->callback([options, &exit_code, command_line] { exit_code = run_verb(*options, command_line); });
}

}  // namespace cowbench::programs
