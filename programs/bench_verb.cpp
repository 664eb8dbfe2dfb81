// cowbench bench: small loads of known names.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "programs/measure_options.h"
#include "programs/verb.h"
#include "shapes/shape_workload.h"

namespace cowbench::programs {
namespace {

struct BenchOptions {
  MeasureOptions measure;
  std::vector<std::string> names;
  shapes::ShapeLoad load;
  double warmup_seconds = -1;  // negative: the default
  std::string file_size, block_size = "4k";
  bool list = false;
};

int list_shapes(bool json) {
  auto array = nlohmann::json::array();
  for (const shapes::Shape& shape : shapes::all_shapes()) {
    array.push_back({{"name", shape.name}, {"family", shape.family}, {"meaning", shape.meaning}});
    if (!json) fmt::print("{:16}  {:9}  {}\n", shape.name, shape.family, shape.meaning);
  }
  if (json) fmt::print("{}\n", nlohmann::json{{"schema", "cowbench.shapes/1"}, {"shapes", std::move(array)}}.dump(2));
  return exit_ok;
}

int run_verb(BenchOptions options, const std::string& command_line) {
  if (options.list) return list_shapes(options.measure.json == "-");
  if (options.names.empty())
    return report_failure({harness::FailureKind::request, "no load is named", "cowbench bench --list names all"});
  const auto found = shapes::find_shapes(options.names);
  if (!found) return report_failure(found.failure());
  for (const auto& [option, text, bytes] : {std::tuple("--file-size", options.file_size, &options.load.file_bytes),
                                            std::tuple("--block-size", options.block_size, &options.load.block_bytes)}) {
    if (text.empty()) continue;
    const auto size = size_option(option, text);
    if (!size) return report_failure(size.failure());
    *bytes = *size;
  }
  if (options.warmup_seconds >= 0) options.load.warmup_seconds = options.warmup_seconds;
  Loads loads;
  for (const shapes::Shape* shape : *found) {
    options.load.shape = shape;
    loads.push_back({std::make_unique<shapes::ShapeWorkload>(options.load)});
  }
  return run_measure_verb(options.measure, loads, command_line);
}

}  // namespace

void add_bench_verb(CLI::App& program, int& exit_code, const std::string& command_line) {
  const auto options = std::make_shared<BenchOptions>();
  options->load.clients = static_cast<u32>(sysconf(_SC_NPROCESSORS_ONLN));
  CLI::App* verb = program.add_subcommand(
      "bench", "Run small loads of known names: FxMark's, fs_mark's and mdtest's shapes, checkpoints and datasets (docs/bench.md)");
  verb->add_option("NAMES", options->names, "Loads or families of them: fxmark, fs_mark, mdtest, mdtest-u, mlperf");
  verb->add_flag("--list", options->list, "Print the loads and what they do (with --json -: as JSON), and stop");
  verb->add_option("--clients", options->load.clients, "Simultaneous clients (default: one a processor)")->check(CLI::Range(1, 4096));
  verb->add_option("-t,--seconds", options->load.seconds, "Measured seconds of a round; loads that use files up end with those")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 1e6));
  verb->add_option("--warmup", options->warmup_seconds, "Seconds before that (default: a fifth of -t, whole seconds)")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--files", options->load.files, "Files of each client that are there before (default: the load's)")
      ->check(CLI::PositiveNumber);
  verb->add_option("--file-size", options->file_size, "Size of each file (default: the load's)");
  verb->add_option("--block-size", options->block_size, "Of loads that read or write blocks")->capture_default_str();
  verb->add_option("--scale", options->load.scale, "Of MLPerf's sizes")->capture_default_str()->check(CLI::Range(1e-6, 1.0));
  verb->add_flag("--direct", options->load.direct, "Past the page cache (O_DIRECT)");
  add_measure_options(*verb, options->measure, "program");
  verb->callback([options, &exit_code, command_line] { exit_code = run_verb(*options, command_line); });
}

}  // namespace cowbench::programs
