#include "programs/fio_jobs.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace cowbench::programs {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using workloads::FioError;
using workloads::FioJob;
using workloads::FioSections;

// Both programs have these; behind the first --name they describe a job.
bool is_shared(std::string_view option) { return option == "--size" || option == "--directory"; }

// Moves fio's own options, each with its value, out of the arguments of `verb`: those that it does not have, and behind the
// first --name those that both have.
std::vector<std::string> take(const CLI::App& verb, std::vector<std::string>& arguments) {
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

Outcome<FioSections> read_sections(const FioJobOptions& options) {
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

}  // namespace

void add_job_options(CLI::App& verb, FioJobOptions& options) {
  verb.add_option("JOB.fio", options.files, "Job files");
  verb.add_option("--section", options.sections, "Only these jobs")->allow_extra_args(false);
}

void take_settings(const CLI::App& verb, FioJobOptions& options, std::vector<std::string>& arguments) {
  if (!arguments.empty() && arguments.front() == verb.get_name()) options.settings = take(verb, arguments);
}

Outcome<std::vector<FioJob>> read_jobs(const FioJobOptions& options) {
  const auto sections = read_sections(options);
  if (!sections) return sections.failure();
  auto jobs = workloads::fio_jobs(*sections);
  if (const auto* error = std::get_if<FioError>(&jobs)) return Failure{FailureKind::request, error->to_text(), ""};
  return std::get<std::vector<FioJob>>(std::move(jobs));
}

std::string name_of(const FioJobOptions& options) { return options.files.empty() ? "command line" : options.files.front(); }

}  // namespace cowbench::programs
