// cowbench reproduce: published measurements as recipes, scaled to this machine.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "dashboards/format.h"
#include "dashboards/terminal.h"
#include "harness/byte_size.h"
#include "harness/dbench_workload.h"
#include "harness/fio_workload.h"
#include "programs/measure_options.h"
#include "programs/verb.h"
#include "reproduce/report.h"

namespace cowbench::programs {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using reproduce::Recipe;
using reproduce::Scaled;

constexpr u64 share_of_fio_data = 4;  // of the medium: an engine that writes anew needs room beside what is there

struct ReproduceOptions {
  MeasureOptions measure;
  std::string recipe, synthetic;
  reproduce::ScalingRequest scaling;
};

int list_recipes() {
  dashboards::Table table;
  for (const char* title : {"recipe", "what", "runs"}) table.add_column(title, dashboards::Table::Align::left);
  for (const reproduce::RecipeText& text : reproduce::recipe_texts()) {
    const auto recipe = reproduce::parse_recipe(text.toml, std::string(text.name), std::string(text.name));
    if (!recipe) return report_failure(recipe.failure());
    std::string runs;
    for (const reproduce::Run& run : recipe->runs) runs += (runs.empty() ? "" : ", ") + run.name;
    table.add_row({recipe->name, recipe->title, runs});
  }
  fmt::print("{}", table.render(dashboards::style_of(stdout)));
  return exit_ok;
}

Outcome<Recipe> read_recipe(const std::string& name) {
  for (const reproduce::RecipeText& text : reproduce::recipe_texts())
    if (text.name == name) return reproduce::parse_recipe(text.toml, name, name);
  const auto toml = std::filesystem::exists(name) ? read_input(name) : std::nullopt;
  if (!toml)
    return Failure{FailureKind::request, name + ": neither a recipe nor the file of one", "cowbench reproduce list names them"};
  return reproduce::parse_recipe(*toml, std::filesystem::path(name).stem(), name);
}

std::unique_ptr<harness::Workload> dbench_workload(const Scaled& scaled, u32 seconds, const workloads::Program& program,
                                                   const std::string& loadfile) {
  harness::DbenchLoad load;
  load.loadfile = loadfile;
  load.program = &program;
  load.clients = scaled.clients;
  load.seconds = seconds;
  return std::make_unique<harness::DbenchWorkload>(std::move(load));
}

Outcome<std::unique_ptr<harness::Workload>> fio_workload(const Scaled& scaled) {
  const auto sections = workloads::parse_fio_text(scaled.job, scaled.run->name);
  if (const auto* error = std::get_if<workloads::FioError>(&sections))
    return Failure{FailureKind::request, error->to_text(), ""};
  auto jobs = workloads::fio_jobs(std::get<workloads::FioSections>(sections));
  if (const auto* error = std::get_if<workloads::FioError>(&jobs))
    return Failure{FailureKind::request, error->to_text(), ""};
  auto together = harness::fio_loads(scaled.run->name, std::get<std::vector<workloads::FioJob>>(std::move(jobs)));
  return std::unique_ptr<harness::Workload>(std::make_unique<harness::FioWorkload>(std::move(together.front())));
}

Outcome<Loads> loads_of(const ReproduceOptions& options, const reproduce::Scaling& scaling,
                        const harness::Topology& topology, const workloads::Program& program, const std::string& loadfile) {
  Loads loads;
  for (const Scaled& scaled : scaling.measurements) {
    harness::PinRequest request;
    request.mode = harness::PinMode::list;
    request.cpus = scaled.cpus;
    auto pins = plan_pins(topology, request);
    if (!pins) return pins.failure();
    auto workload = scaled.run->load == reproduce::Load::fio
                        ? fio_workload(scaled)
                        : dbench_workload(scaled, options.scaling.seconds.value_or(scaled.run->seconds), program, loadfile);
    if (!workload) return workload.failure();
    const bool spread = scaled.run->placement == reproduce::Placement::spread;
    loads.push_back({std::move(*workload), std::move(*pins), spread ? "spread over caches" : ""});
  }
  return loads;
}

int reproduce_recipe(ReproduceOptions options, const std::string& command_line) {
  const auto recipe = read_recipe(options.recipe);
  if (!recipe) return report_failure(recipe.failure());
  const auto topology =
      harness::Topology::load(options.synthetic.empty() ? std::nullopt : std::optional(options.synthetic));
  if (!topology) return report_failure(topology.failure());
  const auto size = harness::parse_size(options.measure.size);
  if (!size) return report_failure(size.failure());
  options.scaling.data_bytes = *size / share_of_fio_data;
  const auto scaling = scale(*recipe, *topology, options.scaling);
  if (!scaling) return report_failure(scaling.failure());

  const std::size_t media = std::max<std::size_t>(options.measure.media.size() + options.measure.devices.size(), 1);
  const reproduce::Reproduction reproduction{&*recipe, &*scaling, media};
  if (options.measure.plan) {
    for (const std::string& line : facts(reproduction)) fmt::print("# {}\n", line);
    for (const Scaled& scaled : scaling->measurements)
      fmt::print("# {}: {}, cpus {}\n", scaled.run->name, dashboards::counted(scaled.clients, "client"),
                 harness::to_cpu_list(scaled.cpus));
    if (topology->synthetic()) return exit_ok;
  }
  if (topology->synthetic())
    return report_failure({FailureKind::request, "--synthetic: nothing can be measured on a described machine", "use --plan"});

  std::string loadfile;
  const bool needs_program = std::ranges::any_of(
      scaling->measurements, [](const Scaled& scaled) { return scaled.run->load == reproduce::Load::dbench; });
  auto program = needs_program ? read_program(loadfile) : Outcome<workloads::Program>(workloads::Program{});
  if (!program) return report_failure(program.failure());
  if (options.measure.targets.empty()) options.measure.targets = recipe->targets;
  const auto loads = loads_of(options, *scaling, *topology, *program, loadfile);
  if (!loads) return report_failure(loads.failure());
  const Forms forms{
      [&](const auto& record, const auto& style) { return to_text(reproduction, record, style); },
      [&](const auto& record) { return to_json(reproduction, record); },
      [&](const auto& record) { return to_html(reproduction, record); },
  };
  return run_measure_verb(options.measure, *loads, command_line, forms);
}

}  // namespace

void add_reproduce_verb(CLI::App& program, int& exit_code, const std::string& command_line) {
  const auto options = std::make_shared<ReproduceOptions>();
  CLI::App* verb = program.add_subcommand(
      "reproduce", "Measure what a publication measured, scaled to this machine, and show both side by side");
  verb->add_option("RECIPE", options->recipe, "A recipe's name, the file of one, or list")->required();
  verb->add_option("--only", options->scaling.only, "Only this run of it; may be repeated")->allow_extra_args(false);
  verb->add_option("-t,--seconds", options->scaling.seconds, "Measured seconds of a round, instead of the recipe's")
      ->check(CLI::Range(1, 86400));
  verb->add_option("--synthetic", options->synthetic, "With --plan: for a machine in hwloc's description instead");
  add_measure_options(*verb, options->measure, "program");
  verb->callback([options, &exit_code, command_line] {
    exit_code = options->recipe == "list" ? list_recipes() : reproduce_recipe(*options, command_line);
  });
}

}  // namespace cowbench::programs
