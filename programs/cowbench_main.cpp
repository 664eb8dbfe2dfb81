// cowbench: measures filesystems side by side. The verbs only turn options into requests and results into text.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "dashboards/report.h"
#include "dashboards/terminal.h"
#include "engine/codec/cpu_features.h"
#include "harness/cleanup.h"
#include "harness/environment.h"
#include "harness/topology.h"
#include "programs/measure_options.h"
#include "programs/verb.h"
#include "results/record.h"

namespace cowbench::programs {
namespace {

int print_topology(const std::string& synthetic, const std::string& pin, unsigned cores, bool json) {
  auto topology = harness::Topology::load(synthetic.empty() ? std::nullopt : std::optional(synthetic));
  if (!topology) return report_failure(topology.failure());
  auto request = harness::parse_pin(pin);
  if (!request) return report_failure(request.failure());
  auto plan = harness::plan_pins(*topology, *request, cores);
  if (!plan) return report_failure(plan.failure());
  fmt::print("{}", json ? to_json(*topology, *plan) : to_text(*topology, *plan));
  return exit_ok;
}

void add_topo_verb(CLI::App& program, int& exit_code) {
  struct Options {
    std::string synthetic, pin = "core";
    unsigned cores = 0;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand("topo", "Show the cores of this machine and which clients run where");
  verb->add_option("--synthetic", options->synthetic,
                   "Plan for a machine in hwloc's description instead, e.g. \"pack:1 l3:2 core:4 pu:2\"");
  verb->add_option("--pin", options->pin, "core, ccx, numa, none or list=0,2,4-7")->capture_default_str();
  verb->add_option("--cores", options->cores, "Use at most so many cores (0: all)")->capture_default_str();
  verb->add_flag("--json", options->json, "As JSON, schema cowbench.topo/1");
  verb->callback([options, &exit_code] {
    exit_code = print_topology(options->synthetic, options->pin, options->cores, options->json);
  });
}

void add_env_verb(CLI::App& program, int& exit_code) {
  struct Options {
    std::vector<std::string> devices;
    bool json = false, strict = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand("env", "Show what is recorded of this machine, and what is unfit for measuring");
  verb->add_option("--device", options->devices, "Also the settings of this block device")->allow_extra_args(false);
  verb->add_flag("--json", options->json, "As JSON, schema cowbench.env/1");
  verb->add_flag("--strict", options->strict, "Exit with 4 when something is unfit");
  verb->callback([options, &exit_code] {
    harness::EnvironmentRequest request;
    request.devices = options->devices;
    const harness::Environment environment = capture_environment(request);
    fmt::print("{}", options->json ? to_json(environment) : to_text(environment));
    exit_code = options->strict && !environment.fit() ? exit_unfit : exit_ok;
  });
}

int clean_up() {
  const harness::CleanupReport report = harness::clean_up_leftovers();
  for (const std::string& line : report.undone) fmt::print("{}\n", line);
  for (const std::string& line : report.still_running) fmt::print("left alone, its run goes on: {}\n", line);
  for (const std::string& line : report.problems) fmt::print(stderr, "cowbench: {}\n", line);
  if (report.undone.empty() && report.problems.empty()) fmt::print("nothing was left behind\n");
  return report.problems.empty() ? exit_ok : exit_run_failed;
}

int show_record(const std::string& file, const std::string& html) {
  const auto text = read_input(file);
  if (!text) return exit_bad_input;
  std::string reason;
  const auto record = results::parse_record(*text, reason);
  if (!record) return report_failure({harness::FailureKind::request, fmt::format("{}: {}", file, reason), ""});
  if (html.empty()) {
    fmt::print("{}", dashboards::render_record(*record, dashboards::style_of(stdout)));
    return exit_ok;
  }
  return write_output(html, dashboards::render_report(*record)) ? exit_ok : exit_bad_input;
}

void add_report_verb(CLI::App& program, int& exit_code) {
  struct Options {
    std::string file, html;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand("report", "Show a record that --json wrote");
  verb->add_option("FILE", options->file, "The record")->required();
  verb->add_option("--html", options->html, "Write one self-contained page instead of printing tables");
  verb->callback([options, &exit_code] { exit_code = show_record(options->file, options->html); });
}

void add_cpu_features_option(CLI::App& program) {
  const auto limit = [](const std::string& list) {
    const auto features = cowfs::codec::parse_cpu_features(list);
    if (!features) throw CLI::ValidationError("--cpu-features", list + " is neither none nor a list of sse42, avx2, avx512, vpclmulqdq, gfni");
    cowfs::codec::limit_cpu_features(*features);
  };
  program
      .add_option_function<std::string>("--cpu-features", limit,
                                        "Before the verb: kernels of checksums and parity use only these, e.g. sse42,avx2, or none")
      ->type_name("LIST")
      ->trigger_on_parse();
}

int run(std::vector<std::string> arguments) {
  int exit_code = exit_ok;
  std::string command_line = "cowbench";
  for (const std::string& argument : arguments) command_line += " " + argument;

  CLI::App program("Measures filesystems side by side: cowfs, and those of the kernel", "cowbench");
  program.require_subcommand(1);
  program.footer(exit_codes_text);
  add_cpu_features_option(program);
  program.set_version_flag("--version", "cowbench 0.1.0");
  add_dbench_verb(program, exit_code, command_line);
  add_bench_verb(program, exit_code, command_line);
  add_fio_verb(program, exit_code, command_line, arguments);
  add_rate_verb(program, exit_code, command_line, arguments);
  add_reproduce_verb(program, exit_code, command_line);
  add_tune_verb(program, exit_code, command_line);
  add_topo_verb(program, exit_code);
  add_env_verb(program, exit_code);
  CLI::App* cleanup = program.add_subcommand(
      "cleanup", "Undo what runs that were killed left behind: mounts, loop devices, images, directories");
  cleanup->callback([&exit_code] { exit_code = clean_up(); });
  add_report_verb(program, exit_code);
  add_results_verb(program, exit_code);
  add_serve_verb(program, exit_code);
  for (CLI::App* verb : program.get_subcommands({})) verb->footer(exit_codes_text);
  add_compare_verb(program, exit_code);
  add_tracking_verbs(program, exit_code);
  try {
    std::ranges::reverse(arguments);  // as CLI11 wants them
    program.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? exit_ok : exit_bad_input;
  }
  return exit_code;
}

}  // namespace
}  // namespace cowbench::programs

int main(int argument_count, char** arguments) { return cowbench::programs::run({arguments + 1, arguments + argument_count}); }
