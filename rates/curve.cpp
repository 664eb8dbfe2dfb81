#include "rates/curve.h"

#include <algorithm>

namespace cowbench::rates {
namespace {

using results::Comparison;
using results::TargetResult;

constexpr std::string_view response_suffix = " response";

double median_of(const TargetResult& result, const char* metric) {
  const auto found = result.metrics.find(metric);
  return found == result.metrics.end() ? 0 : found->second.median;
}

// Over all kinds of operations of a target; percentiles of the record are of one kind each, so the slowest kind's stands for all.
Point point_of(const TargetResult& result, double share, double offered_iops) {
  Point point{.share = share, .offered_iops = offered_iops, .achieved_iops = median_of(result, "iops")};
  point.p50_ns = median_of(result, "response_p50_ns");
  point.p99_ns = median_of(result, "response_p99_ns");
  double count = 0, sum_ns = 0;
  for (const results::OperationStatistics& operation : result.operations) {
    if (!operation.name.ends_with(response_suffix)) continue;
    count += static_cast<double>(operation.count);
    sum_ns += static_cast<double>(operation.count) * operation.mean_ns;
    point.p999_ns = std::max(point.p999_ns, static_cast<double>(operation.p999_ns));
  }
  if (count > 0) point.mean_ns = sum_ns / count;
  point.kept_up = point.achieved_iops >= kept_up_min * offered_iops;
  return point;
}

std::optional<std::size_t> knee_of(const std::vector<Point>& points) {
  const auto power = [](const Point& point) { return point.mean_ns > 0 ? point.achieved_iops / point.mean_ns : 0; };
  std::optional<std::size_t> best;
  for (std::size_t at = 0; at < points.size(); ++at) {
    if (points[at].kept_up && (!best || power(points[at]) > power(points[*best]))) best = at;
  }
  return best;
}

}  // namespace

double capacity_iops(const Comparison& comparison) {
  double highest = 0;
  for (const TargetResult& result : comparison.results) highest = std::max(highest, median_of(result, "iops"));
  return highest;
}

std::vector<Curve> curves(const results::Record& record, const std::vector<double>& shares) {
  std::vector<Curve> all;
  if (record.comparisons.empty()) return all;
  const Comparison& free_running = record.comparisons.front();
  const double capacity = capacity_iops(free_running);
  for (const TargetResult& result : free_running.results) {
    Curve curve{result.target, median_of(result, "iops"), {}, {}};
    for (std::size_t at = 1; at < record.comparisons.size(); ++at) {
      const auto& results = record.comparisons[at].results;
      const auto found = std::ranges::find(results, result.target, &TargetResult::target);
      if (found != results.end()) curve.points.push_back(point_of(*found, shares[at - 1], shares[at - 1] * capacity));
    }
    curve.knee = knee_of(curve.points);
    all.push_back(std::move(curve));
  }
  return all;
}

}  // namespace cowbench::rates
