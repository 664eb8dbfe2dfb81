// E-divisive splits as Hunter and Otava use them (Matteson and James 2014; Fleming et al. 2023): each window is split
// where the energy distance of its sides is greatest, and so on inside the sides while a weak test agrees; then the
// least convincing change is dropped and its neighbours are judged anew, until all that is left is convincing. Two
// known faults are mended: the test estimates variances without bias and separately, and no segment is a single value.
#include "results/history/changepoints.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "results/statistics.h"

namespace cowbench::history {
namespace {

constexpr double weak_factor = 10;  // a split is worth a second look up to so many times p_max

using Values = std::span<const double>;

// I_x(a, b), the regularised incomplete beta function, by Lentz's continued fraction. Precondition: x < (a+1)/(a+b+2).
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300, accuracy = 1e-14;
  constexpr int steps_max = 500;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x)) / a;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < tiny ? tiny : d);
  double fraction = d;
  for (int m = 1; m <= steps_max; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double change = 1;
    for (const double term : {even, odd}) {
      d = 1 + term * d;
      d = 1 / (std::abs(d) < tiny ? tiny : d);
      c = 1 + term / c;
      if (std::abs(c) < tiny) c = tiny;
      change = c * d;
      fraction *= change;
    }
    if (std::abs(change - 1) < accuracy) break;
  }
  return front * fraction;
}

// P(|T| >= t) of Student's distribution.
double student_p(double t, double freedom) {
  const double x = freedom / (freedom + t * t), a = freedom / 2, b = 0.5;
  if (x >= 1) return 1;
  if (x <= 0) return 0;
  return x < (a + 1) / (a + b + 2) ? beta_fraction(a, b, x) : 1 - beta_fraction(b, a, 1 - x);
}

// Without bias. Precondition: at least two values.
double variance(Values values) {
  const double centre = results::mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - centre) * (value - centre);
  return sum / static_cast<double>(values.size() - 1);
}

// The split of `values` with the greatest energy distance between its sides. Moving the split by one value changes
// the three sums of distances by that value's distances alone. 0: too short to be split.
std::size_t best_split(Values values, std::size_t segment_min) {
  const std::size_t size = values.size();
  if (size < 2 * segment_min) return 0;
  double left = 0, right = 0, across = 0;
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t j = i + 1; j < size; ++j) right += std::abs(values[i] - values[j]);
  std::size_t best = 0;
  double best_distance = -1;
  for (std::size_t split = 1; split <= size - segment_min; ++split) {
    const std::size_t moved = split - 1;
    double to_left = 0, to_right = 0;
    for (std::size_t i = 0; i < moved; ++i) to_left += std::abs(values[moved] - values[i]);
    for (std::size_t i = split; i < size; ++i) to_right += std::abs(values[moved] - values[i]);
    left += to_left;
    right -= to_right;
    across += to_right - to_left;
    if (split < segment_min) continue;
    const double n = static_cast<double>(split), m = static_cast<double>(size - split);
    const double energy = 2 * across / (n * m) - 2 * left / (n * (n - 1)) - 2 * right / (m * (m - 1));
    const double distance = n * m / (n + m) * energy;
    if (distance > best_distance) {
      best_distance = distance;
      best = split;
    }
  }
  return best;
}

void split_window(Values logs, std::size_t begin, std::size_t end, const DetectorOptions& options,
                  std::set<std::size_t>& splits) {
  const std::size_t split = best_split(logs.subspan(begin, end - begin), options.segment_min);
  if (split == 0) return;
  const std::size_t at = begin + split;
  if (welch_p(logs.subspan(begin, at - begin), logs.subspan(at, end - at)) > weak_factor * options.p_max) return;
  splits.insert(at);
  split_window(logs, begin, at, options, splits);
  split_window(logs, at, end, options, splits);
}

// Judges split number `index` by the segments beside it.
ChangePoint judge_split(Values logs, const std::vector<std::size_t>& splits, std::size_t index) {
  const std::size_t begin = index == 0 ? 0 : splits[index - 1];
  const std::size_t end = index + 1 == splits.size() ? logs.size() : splits[index + 1];
  const std::size_t at = splits[index];
  const Values before = logs.subspan(begin, at - begin), after = logs.subspan(at, end - at);
  return {at, std::expm1(results::mean(after) - results::mean(before)), welch_p(before, after)};
}

}  // namespace

double welch_p(Values a, Values b) {
  if (a.size() < 2 || b.size() < 2) return 1;
  const double n = static_cast<double>(a.size()), m = static_cast<double>(b.size());
  const double va = variance(a) / n, vb = variance(b) / m;
  const double difference = results::mean(a) - results::mean(b);
  if (va + vb <= 0) return difference == 0 ? 1 : 0;
  const double freedom = (va + vb) * (va + vb) / (va * va / (n - 1) + vb * vb / (m - 1));
  return student_p(difference / std::sqrt(va + vb), freedom);
}

std::vector<ChangePoint> detect_changes(Values logs, const DetectorOptions& options) {
  std::set<std::size_t> found;
  for (std::size_t begin = 0;; begin += options.window / 2) {
    const std::size_t end = std::min(logs.size(), begin + options.window);
    split_window(logs, begin, end, options, found);
    if (end == logs.size()) break;
  }
  std::vector<std::size_t> splits(found.begin(), found.end());
  // Overlapping windows may put two splits closer than a segment may be short.
  for (std::size_t i = 1; i < splits.size();) {
    if (splits[i] - splits[i - 1] < options.segment_min) {
      splits.erase(splits.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  while (true) {
    std::vector<ChangePoint> changes;
    for (std::size_t i = 0; i < splits.size(); ++i) changes.push_back(judge_split(logs, splits, i));
    auto drop = std::ranges::max_element(changes, {}, &ChangePoint::p);
    if (drop == changes.end()) return changes;
    if (drop->p <= options.p_max) {
      drop = std::ranges::min_element(changes, {}, [](const ChangePoint& change) { return std::abs(change.effect); });
      if (std::abs(drop->effect) >= options.effect_min) return changes;
    }
    splits.erase(splits.begin() + (drop - changes.begin()));
  }
}

}  // namespace cowbench::history
