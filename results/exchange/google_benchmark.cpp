// Google Benchmark's JSON: each benchmark is a workload, its repetitions are rounds. Its own aggregates are left out:
// they are computed anew from the repetitions.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "results/exchange/importers_internal.h"
#include "results/json_problem.h"

namespace cowbench::exchange {
namespace {

using Json = nlohmann::json;

// Of one unit; 0 when it is none that Google Benchmark writes.
double nanoseconds(const std::string& unit) {
  const std::map<std::string, double> units{{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
  const auto found = units.find(unit);
  return found == units.end() ? 0 : found->second;
}

std::string add_repetition(const Json& entry, results::TargetResult& result) {
  const double unit = nanoseconds(text_field(entry, "time_unit"));
  if (unit == 0) return "\"time_unit\" should be ns, us, ms or s";
  const auto real = entry.find("real_time"), cpu = entry.find("cpu_time"), iterations = entry.find("iterations");
  if (real == entry.end() || !real->is_number()) return "\"real_time\" should be a number";
  results::Round& round = result.rounds.emplace_back();
  round.round = result.rounds.size() - 1;
  round.metrics["iteration_ns"] = real->get<double>() * unit;
  if (cpu != entry.end() && cpu->is_number()) round.metrics["iteration_cpu_ns"] = cpu->get<double>() * unit;
  if (iterations != entry.end() && iterations->is_number_unsigned()) round.operations = iterations->get<cowfs::u64>();
  round.measured_seconds = round.metrics["iteration_ns"] * static_cast<double>(round.operations) / 1e9;
  return "";
}

}  // namespace

std::string import_google_benchmark(std::string_view input, const ImportOptions& options, results::Record& record) {
  if (std::string problem = results::json_problem(input); !problem.empty()) return problem;
  const Json json = Json::parse(input);
  const auto context = json.find("context"), benchmarks = json.find("benchmarks");
  if (context == json.end() || !context->is_object()) return "\"context\" should be an object";
  if (benchmarks == json.end() || !benchmarks->is_array()) return "\"benchmarks\" should be a list";
  record.started = text_field(*context, "date");
  record.command_line = text_field(*context, "executable");
  std::vector<std::string> order;
  std::map<std::string, std::vector<const Json*>> repetitions;
  for (const Json& entry : *benchmarks) {
    if (!entry.is_object()) return "a benchmark should be an object";
    const std::string name = text_field(entry, entry.contains("run_name") ? "run_name" : "name");
    if (name.empty()) return "a benchmark has no name";
    if (text_field(entry, "run_type") == "aggregate") continue;
    const auto failed = entry.find("error_occurred");
    if (failed != entry.end() && *failed == true) return fmt::format("{}: failed: {}", name, text_field(entry, "error_message"));
    if (!repetitions.contains(name)) order.push_back(name);
    repetitions[name].push_back(&entry);
  }
  if (order.empty()) return "no benchmark has repetitions; aggregates alone hold no samples";
  for (const std::string& name : order) {
    results::TargetResult& result = add_result(record, name, 1, options);
    for (const Json* entry : repetitions[name]) {
      if (std::string problem = add_repetition(*entry, result); !problem.empty()) return name + ": " + problem;
    }
  }
  return "";
}

}  // namespace cowbench::exchange
