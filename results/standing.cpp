#include "results/standing.h"

#include <algorithm>
#include <cmath>

#include "results/summary.h"

namespace cowbench::results {
namespace {

std::optional<u64> measured_p99_ns(const TargetResult& result) {
  LatencyBuckets all{};
  for (const Round& round : result.rounds)
    for (std::size_t second = round.warmup_seconds; second < round.latency_each_second.size(); ++second)
      all = sum(all, round.latency_each_second[second]);
  return percentile_ns(all, 0.99);
}

std::optional<double> device_write_mb_s(const TargetResult& result) {
  std::vector<double> rates;
  for (const Round& round : result.rounds) {
    const auto bytes = round.metrics.find("device_write_bytes");
    if (bytes != round.metrics.end() && round.measured_seconds > 0) rates.push_back(bytes->second / round.measured_seconds / 1e6);
  }
  if (rates.empty()) return std::nullopt;
  return median(std::move(rates));
}

TargetResult first_rounds(const TargetResult& result) {
  TargetResult first;
  for (const Round& round : result.rounds)
    if (round.round < pairs_for_interval_min) first.rounds.push_back(round);
  return first;
}

std::optional<double> half_width(const Ratio& ratio) {
  if (!ratio.ci95) return std::nullopt;
  return (std::log(ratio.ci95->high) - std::log(ratio.ci95->low)) / 2;
}

}  // namespace

std::vector<Standing> standings(const Comparison& comparison) {
  const std::string metric(main_metric(comparison));
  const auto subject = std::ranges::find(comparison.results, true, &TargetResult::subject);
  std::vector<Standing> all;
  for (const TargetResult& result : comparison.results) {
    const auto speed = result.metrics.find(metric);
    if (speed == result.metrics.end()) continue;
    Standing& standing = all.emplace_back();
    standing.target = result.target;
    standing.speed = speed->second.median;
    standing.latency_p99_ns = measured_p99_ns(result);
    standing.device_write_mb_s = device_write_mb_s(result);
    if (result.subject || subject == comparison.results.end()) continue;
    standing.ratio = compare(metric, *subject, result);
    standing.half_width_first = half_width(compare(metric, first_rounds(*subject), first_rounds(result)));
    standing.half_width = half_width(*standing.ratio);
  }
  return all;
}

}  // namespace cowbench::results
