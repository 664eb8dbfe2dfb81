// fio's json+, as fio 3 writes it: each target is a job. Of what a load does, reads, writes, trims and syncs have a place
// there. Bytes are known of the whole load only, and belong to a direction when it is the only one.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "results/exchange/exporters_internal.h"
#include "results/exchange/fio_bins.h"
#include "results/histogram_codec.h"

namespace cowbench::exchange {
namespace {

using Json = nlohmann::ordered_json;
using results::OperationStatistics;
using results::TargetResult;

constexpr std::array percents{1.0,  5.0,  10.0, 20.0, 30.0, 40.0, 50.0,  60.0, 70.0,
                              80.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99};

// Where fio has it: as dbench's loads and fio's jobs name it.
struct Place {
  std::string_view operation, direction;
};
constexpr std::array places{Place{"read", "read"},     Place{"ReadX", "read"}, Place{"write", "write"},
                            Place{"WriteX", "write"}, Place{"trim", "trim"},  Place{"sync", "sync"},
                            Place{"flush", "sync"},   Place{"Flush", "sync"}};

std::string_view direction_of(const OperationStatistics& operation) {
  const auto found = std::ranges::find(places, operation.name, &Place::operation);
  return found == places.end() || operation.histogram.empty() ? std::string_view() : found->direction;
}

Json latency_of(const OperationStatistics& operation, const results::HistogramCounts& latencies) {
  const FioBins bins = fio_bins(latencies);
  Json json = {{"min", latencies.min_ns()}, {"max", operation.max_ns}, {"mean", operation.mean_ns}, {"N", operation.count}};
  for (const double percent : percents) json["percentile"][fmt::format("{:.6f}", percent)] = percentile_ns(bins, percent);
  for (const auto& [bin_ns, count] : bins) json["bins"][std::to_string(bin_ns)] = count;
  return json;
}

double measured_seconds(const TargetResult& result) {
  double seconds = 0;
  for (const results::Round& round : result.rounds) seconds += round.measured_seconds;
  return seconds;
}

Json direction_json(const TargetResult& result, const OperationStatistics& operation, bool sync, bool alone) {
  Json json = {{"total_ios", operation.count}};
  const auto latencies = results::decode_histogram(operation.histogram);
  if (sync) {
    if (latencies) json["lat_ns"] = latency_of(operation, **latencies);
    return json;
  }
  const double seconds = measured_seconds(result);
  json["runtime"] = static_cast<u64>(seconds * 1000);
  if (seconds > 0) json["iops"] = static_cast<double>(operation.count) / seconds;
  const auto throughput = result.metrics.find("throughput_mb_s");
  if (alone && throughput != result.metrics.end()) json["bw_bytes"] = static_cast<u64>(throughput->second.mean * 1e6);
  if (latencies) json["clat_ns"] = latency_of(operation, **latencies);
  return json;
}

Json job_json(const std::string& name, const TargetResult& result) {
  Json job = {{"jobname", name}, {"error", 0}};
  for (const char* direction : {"read", "write", "trim", "sync"}) job[direction]["total_ios"] = 0;  // readers want them all
  const auto moves_data = [](const OperationStatistics& operation) {
    const std::string_view direction = direction_of(operation);
    return !direction.empty() && direction != "sync";
  };
  const bool alone = std::ranges::count_if(result.operations, moves_data) == 1;
  for (const OperationStatistics& operation : result.operations) {
    const std::string direction(direction_of(operation));
    if (!direction.empty()) job[direction] = direction_json(result, operation, direction == "sync", alone);
  }
  return job;
}

}  // namespace

std::string to_fio(std::span<const store::StoredRun> runs) {
  Json json = {{"fio version", "cowbench"}, {"jobs", Json::array()}};
  for (const store::StoredRun& run : runs)
    for (const results::Comparison& comparison : run.record.comparisons)
      for (const TargetResult& result : comparison.results) {
        const std::string name = fmt::format("{}/{}/{}/{}/{}", store::id_of(run).substr(0, 12), result.media,
                                             result.workload, result.clients, result.target);
        json["jobs"].push_back(job_json(name, result));
      }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cowbench::exchange
