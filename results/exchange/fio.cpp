// fio's json and json+: each job group and direction is a workload of its own. Jobs of one name ran at the same time:
// their rates add up; their latencies are merged where json+ has the bins, and else left out, since percentiles cannot
// be averaged. A bin counts at its middle, as fio itself reports it: 6 bits, so at most 0.8% off.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "results/exchange/importers_internal.h"
#include "results/json_problem.h"
#include "results/summary.h"

namespace cowbench::exchange {
namespace {

using Json = nlohmann::json;
using cowfs::u64;
using results::HistogramCounts;

constexpr std::array directions{"read", "write", "trim"};

double number(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

const Json& child(const Json& object, const char* field) {
  static const Json none = Json::object();
  const auto found = object.find(field);
  return found != object.end() && found->is_object() ? *found : none;
}

// All jobs of one name in one direction.
struct Group {
  u64 jobs = 0;
  double bytes_s = 0, requests_s = 0, requests = 0, seconds = 0, latency_sum_ns = 0, latency_max_ns = 0;
  std::unique_ptr<HistogramCounts> latencies = std::make_unique<HistogramCounts>();
  Json percentiles;  // of the only job
  bool all_bins = true;
};

// clat when fio has it, else lat.
const Json& latency_of(const Json& direction) {
  const Json& completion = child(direction, "clat_ns");
  return number(completion, "N") > 0 ? completion : child(direction, "lat_ns");
}

std::string add_bins(const Json& bins, HistogramCounts& latencies) {
  for (const auto& [value, count] : bins.items()) {
    const bool digits = !value.empty() && value.size() < 19 && value.find_first_not_of("0123456789") == value.npos;
    if (!digits || !count.is_number_unsigned()) return fmt::format("bins: '{}' should be nanoseconds with a count", value);
    if (count.get<u64>() > 0) latencies.record_many(std::stoull(value), count.get<u64>());
  }
  return "";
}

// What is there is of the kind that fio writes.
std::string check_figures(const Json& job, const char* direction) {
  const auto figures = job.find(direction);
  if (figures == job.end()) return "";
  if (!figures->is_object()) return fmt::format("\"{}\" should be an object", direction);
  for (const char* field : {"total_ios", "bw_bytes", "iops", "runtime"}) {
    const auto value = figures->find(field);
    if (value != figures->end() && !value->is_number()) return fmt::format("\"{}\" of \"{}\" should be a number", field, direction);
  }
  return "";
}

std::string add_job(const Json& direction, Group& group) {
  const double requests = number(direction, "total_ios");
  const Json& latency = latency_of(direction);
  ++group.jobs;
  group.requests += requests;
  group.bytes_s += number(direction, "bw_bytes");
  group.requests_s += number(direction, "iops");
  group.seconds = std::max(group.seconds, number(direction, "runtime") / 1000);
  group.latency_sum_ns += number(latency, "mean") * number(latency, "N");
  group.latency_max_ns = std::max(group.latency_max_ns, number(latency, "max"));
  group.percentiles = child(latency, "percentile");
  const Json& bins = child(latency, "bins");
  if (bins.empty()) group.all_bins = false;
  return add_bins(bins, *group.latencies);
}

void add_latencies(const Group& group, const std::string& direction, results::Round& round, results::TargetResult& result) {
  if (group.latency_max_ns > 0) round.metrics["latency_max_ns"] = group.latency_max_ns;
  if (group.requests > 0 && group.latency_sum_ns > 0) round.metrics["latency_mean_ns"] = group.latency_sum_ns / group.requests;
  if (group.all_bins && !group.latencies->empty()) {
    round.metrics["latency_p50_ns"] = static_cast<double>(group.latencies->percentile_ns(50));
    round.metrics["latency_p99_ns"] = static_cast<double>(group.latencies->percentile_ns(99));
    result.operations.push_back(results::summarise_operation(direction, *group.latencies, 0));
  } else if (group.jobs == 1) {
    if (const double p50 = number(group.percentiles, "50.000000"); p50 > 0) round.metrics["latency_p50_ns"] = p50;
    if (const double p99 = number(group.percentiles, "99.000000"); p99 > 0) round.metrics["latency_p99_ns"] = p99;
  } else {
    result.notes.push_back("no percentiles: fio wrote no bins to merge; use --output-format=json+");
  }
}

}  // namespace

std::string import_fio(std::string_view input, const ImportOptions& options, results::Record& record) {
  // Messages of fio may stand before the object.
  const std::string_view object = input.substr(std::min(input.find('{'), input.size()));
  if (std::string problem = results::json_problem(object); !problem.empty()) return problem;
  const Json json = Json::parse(object);
  const auto jobs = json.find("jobs");
  if (jobs == json.end() || !jobs->is_array() || jobs->empty()) return "\"jobs\" should be a list of jobs";
  record.command_line = text_field(json, "fio version");
  if (const double seconds = number(json, "timestamp"); seconds > 0 && seconds < 1e11)
    record.started = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));

  std::map<std::pair<std::string, std::string>, Group> groups;
  for (const Json& job : *jobs) {
    const std::string name = text_field(job, "jobname");
    if (name.empty()) return "a job has no \"jobname\"";
    if (number(job, "error") != 0) return fmt::format("job {} ended with error {}", name, number(job, "error"));
    for (const char* direction : directions) {
      if (std::string problem = check_figures(job, direction); !problem.empty()) return fmt::format("job {}: {}", name, problem);
      const Json& figures = child(job, direction);
      if (number(figures, "total_ios") <= 0) continue;
      if (std::string problem = add_job(figures, groups[{name, direction}]); !problem.empty())
        return fmt::format("job {}, {}: {}", name, direction, problem);
    }
  }
  if (groups.empty()) return "no job did any request";
  for (const auto& [key, group] : groups) {
    const auto& [name, direction] = key;
    results::TargetResult& result = add_result(record, fmt::format("fio {} {}", name, direction), group.jobs, options);
    results::Round& round = result.rounds.emplace_back();
    round.measured_seconds = group.seconds;
    round.operations = static_cast<u64>(group.requests);
    if (group.bytes_s > 0) round.metrics["throughput_mb_s"] = group.bytes_s / 1e6;
    if (group.requests_s > 0) round.metrics["ops_s"] = group.requests_s;
    add_latencies(group, direction, round, result);
  }
  return "";
}

}  // namespace cowbench::exchange
