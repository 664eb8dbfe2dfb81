#include "results/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "results/histogram_codec.h"
#include "results/metrics.h"

namespace cowbench::results {

MetricSummary summarise(std::vector<double> values) {
  assert(!values.empty());
  MetricSummary summary;
  summary.median = median(values);
  summary.mean = mean(values);
  summary.min = *std::min_element(values.begin(), values.end());
  summary.max = *std::max_element(values.begin(), values.end());
  summary.relative_spread = relative_spread(values);
  summary.rounds = std::move(values);
  return summary;
}

OperationStatistics summarise_operation(std::string name, const HistogramCounts& latencies, u64 failed) {
  OperationStatistics statistics;
  statistics.name = std::move(name);
  statistics.count = latencies.count;
  statistics.failed = failed;
  statistics.mean_ns = latencies.mean_ns();
  statistics.p50_ns = latencies.percentile_ns(50);
  statistics.p99_ns = latencies.percentile_ns(99);
  statistics.p999_ns = latencies.percentile_ns(99.9);
  statistics.max_ns = latencies.max_ns;
  statistics.percentiles = percentile_curve(latencies);
  statistics.histogram = encode_histogram(latencies);
  return statistics;
}

namespace {

const double* find_value(const Round& round, const std::string& metric) {
  const auto found = round.metrics.find(metric);
  return found != round.metrics.end() && std::isfinite(found->second) ? &found->second : nullptr;
}

void summarise_metrics(TargetResult& result) {
  result.metrics.clear();
  std::map<std::string, std::vector<double>> values;
  for (Round& round : result.rounds) {
    std::erase_if(round.metrics, [](const auto& metric) { return !std::isfinite(metric.second); });
    for (const auto& [metric, value] : round.metrics) values[metric].push_back(value);
  }
  for (auto& [metric, series] : values) result.metrics[metric] = summarise(std::move(series));
}

}  // namespace

Ratio ratio_of(const std::string& metric, const TargetResult& numerator, const TargetResult& denominator, double band) {
  Ratio ratio;
  ratio.metric = metric;
  ratio.numerator = numerator.target;
  ratio.denominator = denominator.target;
  ratio.media = numerator.media;
  ratio.workload = numerator.workload;
  ratio.clients = numerator.clients;
  ratio.band = band;
  return ratio;
}

Ratio compare(const std::string& metric, const TargetResult& numerator, const TargetResult& denominator, double band) {
  const MetricDescription* description = find_metric(metric);
  assert(description != nullptr);
  std::vector<double> above, below;
  for (const Round& round : numerator.rounds) {
    const double* value = find_value(round, metric);
    if (value == nullptr) continue;
    for (const Round& other : denominator.rounds) {
      const double* other_value = other.round == round.round ? find_value(other, metric) : nullptr;
      if (other_value == nullptr) continue;
      above.push_back(*value);
      below.push_back(*other_value);
      break;
    }
  }
  Ratio ratio = ratio_of(metric, numerator, denominator, band);
  if (const auto paired = paired_ratio(above, below, description->direction, band)) {
    ratio.estimate = paired->estimate;
    ratio.ci95 = paired->interval;
    ratio.verdict = paired->verdict;
    ratio.rounds = paired->pairs;
    ratio.rounds_needed = paired->pairs_needed;
  }
  return ratio;
}

void summarise(Comparison& comparison, double band) {
  auto& results = comparison.results;
  for (TargetResult& result : results) {
    result.media = comparison.media;
    result.workload = comparison.workload;
    result.clients = comparison.clients;
    set_label(result);
    std::sort(result.rounds.begin(), result.rounds.end(),
              [](const Round& a, const Round& b) { return a.round < b.round; });
    summarise_metrics(result);
  }
  const auto subjects = std::count_if(results.begin(), results.end(), [](const auto& r) { return r.subject; });
  if (subjects == 0 || subjects == std::ssize(results)) {
    for (TargetResult& result : results) result.subject = &result == &results.front();
  }

  comparison.ratios.clear();
  for (const MetricDescription& metric : metric_table()) {
    if (!metric.compared) continue;
    const std::string name(metric.name);
    for (const TargetResult& subject : results) {
      for (const TargetResult& other : results) {
        const bool measured = subject.metrics.contains(name) && other.metrics.contains(name);
        if (subject.subject && !other.subject && measured) {
          comparison.ratios.push_back(compare(name, subject, other, band));
        }
      }
    }
  }
}

std::string_view main_metric(const Comparison& comparison) {
  const bool moves_bytes = std::ranges::any_of(comparison.results, [](const TargetResult& result) {
    const auto throughput = result.metrics.find("throughput_mb_s");
    return throughput != result.metrics.end() && throughput->second.median > 0;
  });
  return moves_bytes ? "throughput_mb_s" : "ops_s";
}

CalibrationRow calibrate(const TargetResult& ours, std::string reference, std::vector<double> throughput_mb_s_rounds,
                         double floor) {
  const std::string metric = "throughput_mb_s";
  TargetResult theirs;
  theirs.target = reference;
  // The reference ran once in each of our rounds, in round order.
  for (std::size_t i = 0; i < throughput_mb_s_rounds.size() && i < ours.rounds.size(); ++i) {
    Round& round = theirs.rounds.emplace_back();
    round.round = ours.rounds[i].round;
    round.metrics[metric] = throughput_mb_s_rounds[i];
  }
  CalibrationRow row;
  row.target = ours.target;
  row.reference = std::move(reference);
  if (!throughput_mb_s_rounds.empty()) row.throughput_mb_s = median(throughput_mb_s_rounds);
  row.throughput_mb_s_rounds = std::move(throughput_mb_s_rounds);
  row.ratio = compare(metric, ours, theirs);
  row.ratio_floor = floor;
  row.ok = row.ratio->estimate.has_value() && *row.ratio->estimate >= floor;
  if (!row.ratio->estimate) {
    row.note = "not measured in the same rounds";
  } else if (!row.ok) {
    row.note = "our generator is slower than the real program: the peer is handicapped";
  }
  return row;
}

std::string calibration_caveat(const CalibrationRow& row, const std::string& media) {
  if (row.ok) return "";
  const std::string where = fmt::format("{} on {}", row.target, media);
  if (!row.ratio || !row.ratio->estimate)
    return fmt::format("{} is not calibrated: nothing shows that our generator loads it as {} does", where, row.reference);
  return fmt::format("{}: our generator reached only {:.2f} of {}, less than {:.2f}: ratios to {} may be up to {:.0f}% too high",
                     where, *row.ratio->estimate, row.reference, row.ratio_floor.value_or(1), row.target,
                     100 * (1 / *row.ratio->estimate - 1));
}

void summarise(Record& record) {
  for (Comparison& comparison : record.comparisons) summarise(comparison);
}

}  // namespace cowbench::results
