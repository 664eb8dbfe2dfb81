#include "results/unpaired.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/base/assert.h"
#include "engine/base/random.h"

namespace cowbench::results {
namespace {

constexpr std::size_t exact_values_max = 20;
constexpr std::size_t resamples = 2000;

// Of a standard normal variable: the probability to be at least so far from 0.
double two_sided_p(double z) { return std::erfc(std::abs(z) / std::sqrt(2.0)); }

struct Ranks {
  std::vector<double> of;     // of each value, from 1; equal values share their mean
  double tie_correction = 0;  // sum of t^3 - t over groups of t equal values
};

Ranks rank(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  Ranks ranks{std::vector<double>(values.size()), 0};
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double group = static_cast<double>(end - begin);
    for (std::size_t at = begin; at < end; ++at) ranks.of[order[at]] = static_cast<double>(begin + end + 1) / 2;
    ranks.tie_correction += group * group * group - group;
  }
  return ranks;
}

// P(sum of `chosen` of the ranks 1..total <= sum): each choice is equally probable.
double choice_tail(std::size_t total, std::size_t chosen, std::size_t sum) {
  const std::size_t sum_max = total * (total + 1) / 2;
  std::vector<std::vector<double>> ways(chosen + 1, std::vector<double>(sum_max + 1));
  ways[0][0] = 1;
  for (std::size_t value = 1; value <= total; ++value) {
    for (std::size_t taken = std::min(value, chosen); taken > 0; --taken) {
      for (std::size_t at = sum_max; at >= value; --at) ways[taken][at] += ways[taken - 1][at - value];
    }
  }
  const auto& distribution = ways[chosen];
  const double all = std::accumulate(distribution.begin(), distribution.end(), 0.0);
  const auto end = distribution.begin() + static_cast<std::ptrdiff_t>(std::min(sum, sum_max)) + 1;
  return std::accumulate(distribution.begin(), end, 0.0) / all;
}

// P(sum of a random subset of the ranks 1..total <= sum).
double subset_tail(std::size_t total, std::size_t sum) {
  const std::size_t sum_max = total * (total + 1) / 2;
  std::vector<double> ways(sum_max + 1);
  ways[0] = 1;
  for (std::size_t value = 1; value <= total; ++value) {
    for (std::size_t at = sum_max; at >= value; --at) ways[at] += ways[at - value];
  }
  const auto end = ways.begin() + static_cast<std::ptrdiff_t>(std::min(sum, sum_max)) + 1;
  return std::accumulate(ways.begin(), end, 0.0) / std::ldexp(1.0, static_cast<int>(total));
}

std::vector<double> usable_logs(std::span<const double> values) {
  std::vector<double> logs;
  for (const double value : values) {
    if (value > 0 && std::isfinite(value)) logs.push_back(std::log(value));
  }
  return logs;
}

double resampled_median(const std::vector<double>& values, std::vector<double>& scratch, cowfs::Random& random) {
  for (double& value : scratch) value = values[random.below(values.size())];
  return median(scratch);
}

Interval resampled_interval(const std::vector<double>& above, const std::vector<double>& below, u64 seed) {
  cowfs::Random random(seed);
  std::vector<double> differences, scratch_above(above.size()), scratch_below(below.size());
  differences.reserve(resamples);
  for (std::size_t i = 0; i < resamples; ++i)
    differences.push_back(resampled_median(above, scratch_above, random) - resampled_median(below, scratch_below, random));
  std::sort(differences.begin(), differences.end());
  constexpr std::size_t tail = resamples / 40;  // 2.5%
  return {differences[tail - 1], differences[resamples - tail]};
}

}  // namespace

double mann_whitney_p(std::span<const double> a, std::span<const double> b) {
  assert(!a.empty() && !b.empty());
  std::vector<double> all(a.begin(), a.end());
  all.insert(all.end(), b.begin(), b.end());
  const Ranks ranks = rank(all);
  const double n = static_cast<double>(a.size()), m = static_cast<double>(b.size());
  const double sum = std::accumulate(ranks.of.begin(), ranks.of.begin() + static_cast<std::ptrdiff_t>(a.size()), 0.0);
  const double expected = n * (n + m + 1) / 2;
  if (ranks.tie_correction == 0 && std::max(a.size(), b.size()) <= exact_values_max) {
    const double lower = std::min(sum, 2 * expected - sum);
    return std::min(1.0, 2 * choice_tail(all.size(), a.size(), static_cast<std::size_t>(lower)));
  }
  const double variance = n * m / 12 * (n + m + 1 - ranks.tie_correction / ((n + m) * (n + m - 1)));
  if (variance <= 0) return 1;
  return two_sided_p(std::max(0.0, std::abs(sum - expected) - 0.5) / std::sqrt(variance));
}

double signed_rank_p(std::span<const double> differences) {
  std::vector<double> distances;
  std::vector<bool> positive;
  for (const double difference : differences) {
    if (difference == 0) continue;
    distances.push_back(std::abs(difference));
    positive.push_back(difference > 0);
  }
  if (distances.empty()) return 1;
  const Ranks ranks = rank(distances);
  double sum = 0;
  for (std::size_t at = 0; at < distances.size(); ++at) sum += positive[at] ? ranks.of[at] : 0;
  const double n = static_cast<double>(distances.size());
  const double expected = n * (n + 1) / 4;
  if (ranks.tie_correction == 0 && distances.size() <= exact_values_max) {
    const double lower = std::min(sum, 2 * expected - sum);
    return std::min(1.0, 2 * subset_tail(distances.size(), static_cast<std::size_t>(lower)));
  }
  const double variance = n * (n + 1) * (2 * n + 1) / 24 - ranks.tie_correction / 48;
  return two_sided_p(std::max(0.0, std::abs(sum - expected) - 0.5) / std::sqrt(variance));
}

std::optional<UnpairedRatio> unpaired_ratio(std::span<const double> numerator, std::span<const double> denominator,
                                            Direction direction, double band, u64 seed) {
  const std::vector<double> above = usable_logs(numerator), below = usable_logs(denominator);
  if (above.empty() || below.empty()) return std::nullopt;
  UnpairedRatio ratio{std::exp(median(above) - median(below)), std::nullopt, Verdict::unclear,
                      mann_whitney_p(above, below)};
  if (std::min(above.size(), below.size()) < pairs_for_interval_min) return ratio;
  const Interval logs = resampled_interval(above, below, seed);
  ratio.interval = Interval{std::exp(logs.low), std::exp(logs.high)};
  ratio.verdict = judge(*ratio.interval, direction, band);
  return ratio;
}

std::vector<bool> discoveries(std::span<const double> p, double q) {
  std::vector<double> sorted(p.begin(), p.end());
  std::sort(sorted.begin(), sorted.end());
  double threshold = -1;
  for (std::size_t at = 0; at < sorted.size(); ++at) {
    if (sorted[at] <= q * static_cast<double>(at + 1) / static_cast<double>(sorted.size())) threshold = sorted[at];
  }
  std::vector<bool> found;
  for (const double value : p) found.push_back(value <= threshold);
  return found;
}

}  // namespace cowbench::results
