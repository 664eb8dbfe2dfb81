// cowbench track, bisect and attribute: a suite over the commits of a repository.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "attribution/report.h"
#include "dashboards/format.h"
#include "dashboards/terminal.h"
#include "harness/cleanup.h"
#include "harness/command.h"
#include "harness/environment.h"
#include "harness/round_record.h"
#include "programs/verb.h"
#include "site/track_page.h"
#include "tracking/bisect.h"
#include "tracking/track.h"

namespace cowbench::programs {
namespace {

using dashboards::Table;
using tracking::Commit;

constexpr const char* track_codes_text =
    "Exit status: 0 nothing is worse, 1 something is worse, 2 it could not be measured, or bad usage.";
constexpr const char* bisect_codes_text =
    "Exit status: 0 found, 1 not found: the ends differ by too little, or the pairs were used up; 2 it could not be\n"
    "measured, or bad usage.";
constexpr const char* attribute_codes_text =
    "Exit status: 0 both were measured, whatever they say; 2 they could not be, or bad usage.\n"
    "It profiles with perf (Debian: linux-perf), which sees function names in what was built with frame pointers.";
constexpr std::string_view suites_folder = "tracking/suites";
enum TrackExit : int { exit_not_worse = 0, exit_worse = 1, exit_not_found = 1, exit_invalid = 2 };

struct TrackOptions {
  std::string repository = ".", range, suite, metric;
  std::string db = store::default_path(), work = tracking::default_work_directory();
  cowfs::u64 runs = 3;
  history::BisectionOptions bisection;
  attribution::AttributeRequest attribution;
  std::string html;
  bool json = false, plan = false;
};

int fail(const harness::Failure& failure) {
  report_failure(failure);
  return exit_invalid;
}

void say(const std::string& line) { fmt::print(stderr, "{}\n", dashboards::printable(line)); }

// What both verbs need before anything is built.
struct Project {
  tracking::Suite suite;
  tracking::Repository repository;
  std::vector<Commit> commits;
  std::string control_sha;
};

// Of a file, or of what the repository keeps under that name.
harness::Outcome<std::string> suite_file(const TrackOptions& options) {
  const std::string kept = fmt::format("{}/{}/{}.toml", options.repository, suites_folder, options.suite);
  for (const std::string& file : {options.suite, kept})
    if (std::filesystem::is_regular_file(file)) return file;
  return harness::Failure{harness::FailureKind::missing, options.suite + ": there is no such suite",
                          "it is neither a file nor is there " + kept};
}

harness::Outcome<Project> open_project(const TrackOptions& options) {
  const auto file = suite_file(options);
  if (!file) return file.failure();
  const auto text = read_input(*file);
  if (!text) return harness::Failure{harness::FailureKind::missing, *file + " cannot be read", ""};
  auto suite = tracking::parse_suite(*text, *file);
  if (!suite) return suite.failure();
  auto repository = tracking::Repository::open(options.repository);
  if (!repository) return repository.failure();
  auto commits = repository->range(options.range);
  if (!commits) return commits.failure();
  std::string control = commits->front().sha;
  if (!suite->control_commit.empty()) {
    const auto named = repository->commit(suite->control_commit);
    if (!named) return named.failure();
    control = named->sha;
  }
  const auto dirty = repository->dirty();
  if (dirty && *dirty) say(repository->path() + ": changes that no commit holds are not measured");
  return Project{std::move(*suite), std::move(*repository), std::move(*commits), std::move(control)};
}

results::Environment this_machine() {
  harness::EnvironmentRequest request;
  request.programs = false;
  const auto topology = harness::Topology::load();
  if (!topology) return {};
  return to_record(capture_environment(request), *topology);
}

int print_plan(const Project& project, const TrackOptions& options, const std::string& runs) {
  const auto commands = [](const char* what, const std::vector<tracking::Words>& all) {
    for (const tracking::Words& words : all) fmt::print("{}: {}\n", what, to_text(harness::NamedCommand{words, "", 1}));
  };
  fmt::print("work: {}\n", options.work);
  commands("build", project.suite.build);
  commands("bench", {project.suite.bench});
  for (const Commit& commit : project.commits)
    fmt::print("commit: {} {}\n", commit.sha.substr(0, 10), dashboards::printable(commit.subject));
  fmt::print("{}, {}\n", dashboards::counted(project.commits.size(), "commit"), runs);
  return exit_not_worse;
}

int print_measuring_plan(const Project& project, const TrackOptions& options, std::size_t runs_max) {
  fmt::print("store: {}\n", options.db);
  if (project.suite.has_frozen_build()) fmt::print("control: the build of {}\n", project.control_sha);
  if (!project.suite.control.empty())
    fmt::print("{}: {}\n", project.suite.has_reference() ? "reference" : "control",
               to_text(harness::NamedCommand{project.suite.control, "", 1}));
  return print_plan(project, options,
                    "at most " + dashboards::counted(runs_max, "run") + " of the bench before anything is confirmed");
}

int with_builds(const Project& project, const TrackOptions& options, auto&& use) {
  auto ledger = harness::Ledger::open();  // it has nothing to undo, but a signal must not leave a bench running
  if (!ledger) return fail(ledger.failure());
  harness::undo_on_exit(**ledger);
  auto builds = tracking::Builds::open(project.repository, project.suite, options.work);
  if (!builds) return fail(builds.failure());
  return use(*builds);
}

// Builds, store and measurements, in the order in which they need each other.
int with_measurements(const Project& project, const TrackOptions& options, auto&& use) {
  auto store = open_store(options.db, store::Store::Access::write);
  if (!store) return exit_invalid;
  return with_builds(project, options, [&](tracking::Builds& builds) -> int {
    tracking::Measurements measurements(project.suite, project.control_sha, builds, *store, this_machine());
    return use(builds, measurements);
  });
}

std::string short_of(const Commit& commit) { return commit.sha.substr(0, 10); }

std::string events_table(const tracking::TrackReport& report) {
  Table table;
  for (const char* title : {"metric", "change", "commit", "subject", "suspects", "state"})
    table.add_column(title, title == std::string_view("change") ? Table::Align::right : Table::Align::left);
  for (const tracking::TrackedSeries& series : report.series) {
    for (const tracking::TrackedEvent& found : series.events) {
      const history::Event& event = found.event;
      const auto& at = report.commits[event.at].commit;
      const std::string change = found.before ? fmt::format("{:g} -> {:g}", *found.before, *found.after)
                                              : fmt::format("{:+.1f}%", 100 * event.effect);
      const std::string suspects = event.first == event.last
                                       ? "this one"
                                       : fmt::format("{} to {}", short_of(report.commits[event.first].commit),
                                                     short_of(report.commits[event.last].commit));
      const char* state = event.state == history::EventState::fixed ? "fixed since" : found.worse ? "worse" : "better";
      table.add_row({series.metric.name, change, short_of(at), at.subject, suspects, state});
    }
  }
  return table.empty() ? "no commit changed anything\n" : table.render(dashboards::style_of(stdout));
}

std::string as_text(const tracking::Era& era, const tracking::TrackReport& report) {
  std::string text = fmt::format("since {}: {}", short_of(report.commits[era.commit].commit), name(era.cause));
  for (const tracking::ControlChange& change : era.changes) {
    std::vector<std::string> sides;
    if (change.control) sides.push_back(fmt::format("control {:+.1f}%", 100 * *change.control));
    if (change.reference) sides.push_back(fmt::format("reference {:+.1f}%", 100 * *change.reference));
    if (!sides.empty()) text += fmt::format("; {}: {}", change.metric, fmt::join(sides, ", "));
  }
  return text + "\n";
}

std::string as_text(const tracking::TrackReport& report) {
  std::string text = events_table(report);
  for (const tracking::Era& era : report.eras) text += as_text(era, report);
  for (const history::EventGroup& group : report.groups) {
    if (group.members.size() > 1) text += fmt::format("together: {}\n", title(group));
  }
  std::size_t counts[4] = {};
  for (const tracking::TrackedCommit& tracked : report.commits) ++counts[static_cast<std::size_t>(tracked.state)];
  text += fmt::format(
      "{}: {} measured, {} with the build of the one before, {} not built, {} not run; {} made\n",
      dashboards::counted(report.commits.size(), "commit"), counts[0], counts[1], counts[2], counts[3],
      dashboards::counted(report.runs, "run"));
  for (const std::string& warning : report.warnings) text += warning + "\n";
  return text;
}

int run_track(const TrackOptions& options) {
  const auto project = open_project(options);
  if (!project) return fail(project.failure());
  if (options.plan) return print_measuring_plan(*project, options, project->suite.sides() * options.runs * project->commits.size());
  if (!options.html.empty() && !can_write(options.html)) return exit_invalid;
  return with_measurements(*project, options,
                           [&](tracking::Builds& builds, tracking::Measurements& measurements) -> int {
                             const tracking::TrackRequest request{&project->suite, project->commits, options.runs, say};
                             const auto report = track(request, builds, measurements);
                             if (!report) return fail(report.failure());
                             if (!options.html.empty() && !write_output(options.html, site::track_page(*report)))
                               return exit_invalid;
                             if (!write_output("-", options.json ? to_json(*report) : as_text(*report)))
                               return exit_invalid;
                             return any_worse(*report) ? exit_worse : exit_not_worse;
                           });
}

std::string as_text(const tracking::BisectRequest& request, const tracking::BisectReport& report) {
  using State = history::Bisection::State;
  const auto pairs = fmt::format("{}, {} made\n", dashboards::counted(report.observations, "pair"),
                                 dashboards::counted(report.runs, "run"));
  if (report.state == State::no_difference)
    return fmt::format("the ends differ by less than {:.1f}%: there is nothing to look for; {}",
                       100 * request.options.effect_min, pairs);
  Table table;
  table.add_column("probability", Table::Align::right);
  for (const char* title : {"commit", "subject"}) table.add_column(title, Table::Align::left);
  for (const tracking::Suspect& suspect : report.suspects) {
    const Commit& commit = request.commits[suspect.commit];
    table.add_row({fmt::format("{:.1f}%", 100 * suspect.probability), short_of(commit), commit.subject});
  }
  std::string text = table.render(dashboards::style_of(stdout));
  if (report.effect) text += fmt::format("{} {:+.1f}%; ", request.metric, 100 * *report.effect);
  if (report.state == State::out_of_runs) text += "the runs were used up before it was certain; ";
  return text + pairs;
}

int run_bisect(const TrackOptions& options) {
  const auto project = open_project(options);
  if (!project) return fail(project.failure());
  const auto& metrics = project->suite.metrics;
  const std::string metric = options.metric.empty() ? metrics.front().name : options.metric;
  if (std::ranges::find(metrics, metric, &tracking::SuiteMetric::name) == metrics.end())
    return fail({harness::FailureKind::request, options.suite + ": has no metric " + metric, ""});
  if (options.plan) return print_measuring_plan(*project, options, 2 * options.bisection.runs_max);
  return with_measurements(*project, options, [&](tracking::Builds&, tracking::Measurements& measurements) -> int {
    const tracking::BisectRequest request{&project->suite, metric, project->commits, options.bisection, say};
    const auto report = bisect(request, measurements);
    if (!report) return fail(report.failure());
    if (!write_output("-", options.json ? to_json(request, *report) : as_text(request, *report))) return exit_invalid;
    return report->state == history::Bisection::State::found ? exit_not_worse : exit_not_found;
  });
}

int run_attribute(const TrackOptions& options) {
  auto project = open_project(options);
  if (!project) return fail(project.failure());
  project->commits = {project->commits.front(), project->commits.back()};
  attribution::AttributeRequest request = options.attribution;
  request.suite = &project->suite;
  request.before = project->commits.front();
  request.after = project->commits.back();
  request.say = say;
  if (options.plan)
    return print_plan(*project, options, fmt::format("{} runs of the bench", 2 * (request.pairs + request.profiles)));
  if (!options.html.empty() && !can_write(options.html)) return exit_invalid;
  return with_builds(*project, options, [&](tracking::Builds& builds) -> int {
    const auto found = attribute(request, builds);
    if (!found) return fail(found.failure());
    if (!options.html.empty() && !write_output(options.html, to_html(*found))) return exit_invalid;
    const std::string text = options.json ? to_json(*found) : to_text(*found, dashboards::style_of(stdout));
    return write_output("-", text) ? exit_not_worse : exit_invalid;
  });
}

CLI::App* add_verb(CLI::App& program, const char* name, const char* what, TrackOptions& options, const char* codes) {
  CLI::App* verb = program.add_subcommand(name, what);
  verb->add_option("--repo", options.repository, "The repository; nothing is written to it")->capture_default_str();
  verb->add_option("--range", options.range, "A..B: from A to B along first parents, both included")->required();
  verb->add_option("--suite", options.suite, "What is built and measured: a TOML file, or the name of one in tracking/suites\nof the repository; see docs/tracking.md")
      ->required();
  verb->add_option("--work", options.work, "Where trees and builds are kept between runs")->capture_default_str();
  verb->add_flag("--plan", options.plan, "Print commits and commands, and do nothing");
  verb->footer(codes);
  return verb;
}

void add_store_option(CLI::App& verb, TrackOptions& options) {
  verb.add_option("--db", options.db, "The store")->capture_default_str();
}

}  // namespace

void add_tracking_verbs(CLI::App& program, int& exit_code) {
  const auto options = std::make_shared<TrackOptions>();
  CLI::App* track = add_verb(program, "track", "Measure each commit of a range and say which of them changed what",
                             *options, track_codes_text);
  add_store_option(*track, *options);
  track->add_option("--runs", options->runs, "Of each commit")->capture_default_str()->check(CLI::Range(1, 1000));
  track->add_option("--html", options->html, "One static page with the curve of each metric");
  track->add_flag("--json", options->json, "As JSON, schema cowbench.track/1");
  track->callback([options, &exit_code] { exit_code = run_track(*options); });

  CLI::App* bisect = add_verb(program, "bisect", "Find the commit of a range that changed a metric, on a noisy machine",
                              *options, bisect_codes_text);
  add_store_option(*bisect, *options);
  bisect->add_option("--metric", options->metric, "One of the suite's (default: its first)");
  bisect->add_option("--pairs-max", options->bisection.runs_max, "Give up after so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  bisect->add_option("--effect-min", options->bisection.effect_min, "The least change that is looked for, as a share of the level")
      ->capture_default_str()
      ->check(CLI::Range(0.0001, 10.0));
  bisect->add_option("--probability", options->bisection.probability_wanted, "When to be content")
      ->capture_default_str()
      ->check(CLI::Range(0.5, 0.9999));
  bisect->add_flag("--json", options->json, "As JSON, schema cowbench.bisect/1");
  bisect->callback([options, &exit_code] { exit_code = run_bisect(*options); });

  CLI::App* attribute = add_verb(program, "attribute",
                                 "Say what two commits count differently, and where their processor time goes", *options,
                                 attribute_codes_text);
  attribution::AttributeRequest& request = options->attribution;
  attribute->add_option("--pairs", request.pairs, "Runs of both commits, for the counters")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  attribute->add_option("--profiles", request.profiles, "Runs of both under the profiler; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000));
  attribute->add_option("--frequency", request.frequency_hz, "Samples a second of each processor")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  attribute->add_option("--html", options->html, "Write a page with the differential flame graph");
  attribute->add_flag("--json", options->json, "As JSON, schema cowbench.attribution/1");
  attribute->callback([options, &exit_code] { exit_code = run_attribute(*options); });
}

}  // namespace cowbench::programs
