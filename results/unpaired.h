// Comparing values that were not measured in pairs: tests by ranks, and an interval by resampling. Weaker than pairs, and
// blind to drift: use statistics.h where there are pairs. Pure functions.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "results/statistics.h"

namespace cowbench::results {

// Two-sided probability of ranks as far apart as these if both came from one distribution. Exact for up to 20 values
// a side without ties, by the normal approximation with correction for ties otherwise. Precondition: neither is empty.
double mann_whitney_p(std::span<const double> a, std::span<const double> b);

// Two-sided probability of signed ranks as lopsided as these if differences were symmetric around 0 (Wilcoxon). Exact
// for up to 20 different non-zero differences, else by the normal approximation. 1 when all are 0.
double signed_rank_p(std::span<const double> differences);

struct UnpairedRatio {
  double estimate;                   // median of the numerator / median of the denominator
  std::optional<Interval> interval;  // 95%, by resampling both sides; absent below pairs_for_interval_min values a side
  Verdict verdict;                   // of the numerator, by the interval as in paired_ratio()
  double p;                          // Mann-Whitney
};

// Values that are not positive and finite are left out; absent when a side is then empty. The same `seed` gives the
// same interval.
std::optional<UnpairedRatio> unpaired_ratio(std::span<const double> numerator, std::span<const double> denominator,
                                            Direction direction, double band, u64 seed);

// Which of many findings stand when at most a share of `q` of them may be false (Benjamini and Hochberg 1995).
std::vector<bool> discoveries(std::span<const double> p, double q = 0.05);

}  // namespace cowbench::results
