#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "results/store/samples_internal.h"

namespace cowbench::store {
namespace {

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

}  // namespace

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

bool put_samples(const Samples& samples, results::Record& record) {
  results::TargetResult* result = result_at(record, samples.result);
  if (result == nullptr || result->rounds.size() != samples.values.size()) return false;
  for (std::size_t round = 0; round < samples.values.size(); ++round) {
    if (!std::isnan(samples.values[round])) result->rounds[round].metrics[samples.series.metric] = samples.values[round];
  }
  return true;
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
