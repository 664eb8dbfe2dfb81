// Why Hodges-Lehmann: as tight as a t interval on normal noise, tighter on heavy tails, no bootstrap, no seed.
// Why pairs: with rounds run one target after the other, a machine that drifts by 0.5% a round leaves a nominal 95%
// interval covering 50 to 80%, and more rounds make it worse; pairs in ABBA order keep 95%.
#include "results/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/base/assert.h"

namespace cowbench::results {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const std::size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle), values.end());
  const double upper = values[middle];
  if (values.size() % 2 == 1) return upper;
  return (*std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle)) + upper) / 2;
}

double mean(std::span<const double> values) {
  if (values.empty()) return 0;
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double relative_spread(std::span<const double> values) {
  const double centre = median({values.begin(), values.end()});
  if (centre == 0) return 0;
  std::vector<double> distances;
  distances.reserve(values.size());
  for (const double value : values) distances.push_back(std::abs(value - centre));
  return 1.4826 * median(std::move(distances)) / std::abs(centre);
}

namespace {

struct Tail {
  double probability;  // on each side
  double normal_quantile;
};

constexpr Tail tail_of(Confidence confidence) {
  return confidence == Confidence::percent95 ? Tail{0.025, 1.959963984540054} : Tail{0.005, 2.575829303548901};
}

constexpr u64 exact_pairs_max = 15;

// Under the null each rank 1..n is positive with probability 1/2. Counts the subsets of ranks by their sum, then
// walks up while the lower tail stays within `tail_max`.
u64 exact_rank(u64 differences, double tail_max) {
  assert(differences <= exact_pairs_max);
  const u64 sum_max = differences * (differences + 1) / 2;
  std::array<u64, exact_pairs_max*(exact_pairs_max + 1) / 2 + 1> ways{1};
  for (u64 rank = 1; rank <= differences; ++rank) {
    for (u64 sum = sum_max; sum >= rank; --sum) ways[sum] += ways[sum - rank];
  }
  const double subsets = std::ldexp(1.0, static_cast<int>(differences));
  u64 tail = 0;
  u64 rank = 0;
  while (static_cast<double>(tail + ways[rank]) <= tail_max * subsets) tail += ways[rank++];
  return rank;
}

}  // namespace

u64 interval_rank(u64 differences, Confidence confidence) {
  const Tail tail = tail_of(confidence);
  if (differences < pairs_for_interval_min) return 0;
  if (differences <= exact_pairs_max) return exact_rank(differences, tail.probability);
  const double n = static_cast<double>(differences);
  const double walsh_averages = n * (n + 1) / 2;
  return static_cast<u64>(walsh_averages / 2 - tail.normal_quantile * std::sqrt(n * (n + 1) * (2 * n + 1) / 24));
}

Estimate hodges_lehmann(std::span<const double> differences, Confidence confidence) {
  assert(!differences.empty());
  std::vector<double> walsh_averages;
  walsh_averages.reserve(differences.size() * (differences.size() + 1) / 2);
  for (std::size_t i = 0; i < differences.size(); ++i) {
    for (std::size_t j = i; j < differences.size(); ++j) {
      walsh_averages.push_back((differences[i] + differences[j]) / 2);
    }
  }
  std::sort(walsh_averages.begin(), walsh_averages.end());
  Estimate estimate{median(walsh_averages), std::nullopt};
  if (const u64 rank = interval_rank(differences.size(), confidence); rank > 0) {
    estimate.interval = Interval{walsh_averages[rank - 1], walsh_averages[walsh_averages.size() - rank]};
  }
  return estimate;
}

namespace {
constexpr std::array<std::string_view, 4> verdict_names{"better", "worse", "same", "unclear"};
}  // namespace

Verdict judge(const Interval& ratio, Direction direction, double band) {
  const bool higher_is_better = direction == Direction::higher_is_better;
  const Interval same{1 / (1 + band), 1 + band};
  if (ratio.low > same.high) return higher_is_better ? Verdict::better : Verdict::worse;
  if (ratio.high < same.low) return higher_is_better ? Verdict::worse : Verdict::better;
  if (ratio.low >= same.low && ratio.high <= same.high) return Verdict::same;
  return Verdict::unclear;
}

std::string_view name(Verdict verdict) { return verdict_names[static_cast<std::size_t>(verdict)]; }

std::optional<Verdict> verdict_named(std::string_view text) {
  const auto found = std::find(verdict_names.begin(), verdict_names.end(), text);
  if (found == verdict_names.end()) return std::nullopt;
  return static_cast<Verdict>(found - verdict_names.begin());
}

u64 pairs_needed(u64 pairs, double half_width, double band) {
  assert(band > 0);
  const double ratio = half_width / band;
  constexpr double pairs_max = 1e6;  // beyond any patience; keeps the conversion defined
  const double needed = std::min(std::ceil(static_cast<double>(pairs) * ratio * ratio), pairs_max);
  return std::max(static_cast<u64>(needed), u64{pairs_for_interval_min});
}

std::optional<PairedRatio> paired_ratio(std::span<const double> numerator, std::span<const double> denominator,
                                        Direction direction, double band) {
  assert(numerator.size() == denominator.size());
  assert(band > 0);
  std::vector<double> differences;
  for (std::size_t i = 0; i < numerator.size(); ++i) {
    const double difference = std::log(numerator[i]) - std::log(denominator[i]);
    if (numerator[i] > 0 && denominator[i] > 0 && std::isfinite(difference)) differences.push_back(difference);
  }
  if (differences.empty()) return std::nullopt;

  const Estimate estimate = hodges_lehmann(differences);
  PairedRatio ratio{std::exp(estimate.value), std::nullopt, Verdict::unclear, differences.size(), std::nullopt};
  if (!estimate.interval) {
    ratio.pairs_needed = pairs_for_interval_min;
    return ratio;
  }
  ratio.interval = Interval{std::exp(estimate.interval->low), std::exp(estimate.interval->high)};
  ratio.verdict = judge(*ratio.interval, direction, band);
  if (ratio.verdict == Verdict::unclear) {
    const double half_width = (estimate.interval->high - estimate.interval->low) / 2;
    // Narrow enough already, but astride the band's edge: at least one more ABBA block.
    ratio.pairs_needed = std::max(pairs_needed(ratio.pairs, half_width, std::log1p(band)), ratio.pairs + 2);
  }
  return ratio;
}

}  // namespace cowbench::results
