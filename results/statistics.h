// Statistics of rounds. The unit is the round, never the operation: operations of one round are not independent.
// Two targets are compared round by round, by the logarithm of their ratio, so that drift of the machine cancels.
// Pure functions.
#pragma once
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::results {

using cowfs::u64;

// 0 when empty.
double median(std::vector<double> values);
double mean(std::span<const double> values);
// 1.4826 * (median distance to the median) / median: the relative standard deviation, if the values were normal, but
// deaf to outliers. 0 when the median is 0.
double relative_spread(std::span<const double> values);

struct Interval {
  double low;
  double high;
  bool operator==(const Interval&) const = default;
};

// Fewer differences than this hold no 95% interval: with five, the widest one covers 93.75%.
constexpr std::size_t pairs_for_interval_min = 6;

struct Estimate {
  double value;                      // Hodges-Lehmann: the median of all pairwise means (Walsh averages)
  std::optional<Interval> interval;  // 95% unless asked otherwise; absent below pairs_for_interval_min
};

enum class Confidence { percent95, percent99 };

// Of the centre of `differences`; the interval is absent where so few differences cannot hold one. Exact Wilcoxon signed-rank distribution up to 15 differences, the normal
// approximation above. Precondition: not empty.
Estimate hodges_lehmann(std::span<const double> differences, Confidence confidence = Confidence::percent95);

// The rank, from 1, of the Walsh average that bounds the interval from below; 0 when there is none.
u64 interval_rank(u64 differences, Confidence confidence = Confidence::percent95);

enum class Direction { higher_is_better, lower_is_better };
enum class Verdict { better, worse, same, unclear };
std::string_view name(Verdict verdict);
// Absent when `text` names none.
std::optional<Verdict> verdict_named(std::string_view text);

constexpr double band_default = 0.02;

// By the whole interval of a ratio against [1 / (1 + band), 1 + band]: outside it better or worse, inside it same,
// otherwise unclear.
Verdict judge(const Interval& ratio, Direction direction, double band);

struct PairedRatio {
  double estimate;                   // numerator / denominator
  std::optional<Interval> interval;  // 95%, of the same ratio
  Verdict verdict;                   // of the numerator
  u64 pairs;                         // rounds used
  std::optional<u64> pairs_needed;   // only when unclear: about this many rounds in all would settle it
};

// `numerator[i]` and `denominator[i]` were measured in the same round. The verdict is judge()'s, without an interval
// always unclear. Pairs in which either value is not a positive finite number have no logarithm and are left out; absent when
// none remains. Precondition: equal lengths, band > 0.
std::optional<PairedRatio> paired_ratio(std::span<const double> numerator, std::span<const double> denominator,
                                        Direction direction, double band = band_default);

// How many rounds would bring the interval's half width (of the log-ratio) down to the band; the width shrinks with the
// root of the rounds.
u64 pairs_needed(u64 pairs, double half_width, double band);

}  // namespace cowbench::results
