#include "results/store/samples.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "results/deflate.h"
#include "results/summary.h"

namespace cowbench::store {
namespace {

constexpr std::size_t document_bytes_max = 256 << 20;
constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

results::TargetResult* result_at(results::Record& record, u64 ordinal) {
  for (results::Comparison& comparison : record.comparisons) {
    if (ordinal < comparison.results.size()) return &comparison.results[ordinal];
    ordinal -= comparison.results.size();
  }
  return nullptr;
}

std::vector<Samples> take_from(results::TargetResult& result, u64 ordinal) {
  std::map<std::string, std::vector<double>> by_metric;
  for (std::size_t round = 0; round < result.rounds.size(); ++round) {
    for (const auto& [metric, value] : result.rounds[round].metrics) {
      auto& values = by_metric.try_emplace(metric, result.rounds.size(), no_value).first->second;
      values[round] = value;
    }
    result.rounds[round].metrics.clear();
  }
  std::vector<Samples> samples;
  for (auto& [metric, values] : by_metric) {
    const SeriesKey key{result.target, result.integrity, result.media, result.workload, result.clients, metric};
    samples.push_back({key, ordinal, std::move(values)});
  }
  return samples;
}

// Leaves the rounds without metrics, and what is derived from them empty.
std::vector<Samples> take_samples(results::Record& record) {
  std::vector<Samples> samples;
  u64 ordinal = 0;
  for (results::Comparison& comparison : record.comparisons) {
    comparison.ratios.clear();
    for (results::TargetResult& result : comparison.results) {
      result.metrics.clear();
      for (Samples& taken : take_from(result, ordinal)) samples.push_back(std::move(taken));
      ++ordinal;
    }
  }
  return samples;
}

// False when the record has no such result, or not as many rounds.
bool put_samples(const Samples& samples, results::Record& record) {
  results::TargetResult* result = result_at(record, samples.result);
  if (result == nullptr || result->rounds.size() != samples.values.size()) return false;
  for (std::size_t round = 0; round < samples.values.size(); ++round) {
    if (!std::isnan(samples.values[round])) result->rounds[round].metrics[samples.series.metric] = samples.values[round];
  }
  return true;
}

}  // namespace

PackedRun pack_run(const results::Record& record) {
  results::Record document = record;
  std::vector<Samples> samples = take_samples(document);
  return {results::deflate(to_json_line(document)), std::move(samples)};
}

u64 count_values(const PackedRun& packed) {
  u64 count = 0;
  for (const Samples& taken : packed.samples)
    for (const double value : taken.values) count += std::isnan(value) ? 0 : 1;
  return count;
}

std::optional<results::Record> unpack_run(const PackedRun& packed, std::string& reason) {
  const auto json = results::inflate(packed.document, document_bytes_max);
  if (!json) {
    reason = "its document does not decompress";
    return std::nullopt;
  }
  auto record = results::parse_record(*json, reason);
  if (!record) return std::nullopt;
  for (const Samples& samples : packed.samples) {
    if (put_samples(samples, *record)) continue;
    reason = samples.series.metric + " has values of rounds that are not there";
    return std::nullopt;
  }
  results::summarise(*record);
  return std::move(*record);
}

std::string pack(const std::vector<double>& values) {
  std::string bytes(values.size() * sizeof(double), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::vector<double> unpack(std::string_view bytes) {
  std::vector<double> values(bytes.size() / sizeof(double));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(double));
  return values;
}

}  // namespace cowbench::store
