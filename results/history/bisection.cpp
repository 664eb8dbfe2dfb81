// For a culprit j, what was measured before it has one mean and the rest another, with one unknown variance. With flat
// priors on those, the posterior of j is proportional to its weight * SSE_j^(-(n-2)/2) / sqrt(n_left * n_right).
// Two things that look clever and are not: always measuring at the posterior's median stalls, since the ends are never
// looked at again; and trimming outliers inside the likelihood makes the stated probability a lie.
#include "results/history/bisection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/base/assert.h"
#include "engine/base/random.h"
#include "results/unpaired.h"

namespace cowbench::history {
namespace {
constexpr std::size_t end_runs = 6;        // at each end, before anything else
constexpr double end_p_max = 0.01;         // looked at after each run, so stricter than 5%
constexpr double certain_errors = 2;       // standard errors: 95%
constexpr u64 end_percent = 15;            // of later runs, so that the ends stay honest
constexpr double impossible = -std::numeric_limits<double>::infinity();

struct Level {
  double mean, error;  // standard
};
Level level_of(std::span<const double> values) {
  const double count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / (count - 1) / count)};
}
}  // namespace

Bisection::Bisection(std::size_t commits, std::vector<double> weights, const BisectionOptions& options)
    : options_(options), weights_(std::move(weights)), sums_(commits), skipped_(commits) {
  assert(commits >= 2);
  if (weights_.empty()) weights_.assign(commits, 1);
  assert(weights_.size() == commits);
  weights_[0] = 0;
  assert(std::ranges::any_of(weights_, [](double weight) { return weight > 0; }));
}

void Bisection::observe(std::size_t commit, double log_value) {
  for (Sums* sums : {&sums_[commit], &all_}) {
    sums->count += 1;
    sums->sum += log_value;
    sums->squares += log_value * log_value;
  }
  ++runs_;
  if (commit != 0 && commit + 1 != sums_.size()) return;
  (commit == 0 ? first_values_ : last_values_).push_back(log_value);
  ends_differ_ = !first_values_.empty() && !last_values_.empty() &&
                 results::mann_whitney_p(first_values_, last_values_) <= end_p_max;
}

void Bisection::skip(std::size_t commit) {
  assert(commit > 0 && commit + 1 < sums_.size());
  skipped_[commit] = true;
}

double Bisection::log_likelihood(const Sums& left) const {
  const double n = all_.count, right_count = n - left.count, right_sum = all_.sum - left.sum;
  if (left.count == 0 || right_count == 0 || n <= 2) return 0;
  const double explained = left.sum * left.sum / left.count + right_sum * right_sum / right_count;
  // Equal measurements leave no error at all; a floor far below any real one keeps the logarithm finite.
  const double floor = 1e-12 * n;
  const double error = std::max(all_.squares - explained, floor);
  return -(n - 2) / 2 * std::log(error) - 0.5 * std::log(left.count) - 0.5 * std::log(right_count);
}

std::vector<double> Bisection::posterior() const {
  std::vector<double> logs(sums_.size(), impossible);
  Sums left;
  for (std::size_t j = 1; j < sums_.size(); ++j) {
    left.count += sums_[j - 1].count;
    left.sum += sums_[j - 1].sum;
    if (weights_[j] > 0) logs[j] = std::log(weights_[j]) + log_likelihood(left);
  }
  const double highest = *std::ranges::max_element(logs);
  double total = 0;
  for (double& value : logs) total += value = std::exp(value - highest);
  for (double& value : logs) value /= total;
  return logs;
}

std::vector<std::size_t> Bisection::culprits() const {
  const std::vector<double> probabilities = posterior();
  std::vector<std::size_t> order(sums_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater{}, [&](std::size_t commit) { return probabilities[commit]; });
  double mass = 0;
  std::size_t count = 0;
  while (count < order.size() && mass < options_.probability_wanted) mass += probabilities[order[count++]];
  order.resize(count);
  return order;
}

bool Bisection::separable(std::span<const std::size_t> culprits) const {
  const auto [first, last] = std::ranges::minmax(culprits);
  // Commits first to last - 1 tell them apart, if any of them can be measured.
  for (std::size_t commit = first; commit < last; ++commit) {
    if (!skipped_[commit]) return true;
  }
  return false;
}

bool Bisection::ends_are_alike() const {
  const Level first = level_of(first_values_), last = level_of(last_values_);
  const double error = std::hypot(first.error, last.error);
  return std::abs(last.mean - first.mean) + certain_errors * error < std::log1p(options_.effect_min);
}

Bisection::State Bisection::state() const {
  const std::size_t at_ends = std::min(first_values_.size(), last_values_.size());
  if (at_ends < end_runs) return runs_ >= options_.runs_max ? State::out_of_runs : State::running;
  if (ends_differ_ && !separable(culprits())) return State::found;
  if (!ends_differ_ && ends_are_alike()) return State::no_difference;
  return runs_ >= options_.runs_max ? State::out_of_runs : State::running;
}

// The nearest commit that can be measured; the ends always can.
std::size_t Bisection::measurable(std::size_t commit) const {
  for (std::size_t distance = 0;; ++distance) {
    if (commit >= distance && !skipped_[commit - distance]) return commit - distance;
    if (commit + distance < skipped_.size() && !skipped_[commit + distance]) return commit + distance;
  }
}

std::size_t Bisection::next() const {
  assert(state() == State::running);
  const std::size_t last = sums_.size() - 1;
  const std::size_t at_ends = std::min(first_values_.size(), last_values_.size());
  if (at_ends < end_runs || !ends_differ_) return first_values_.size() <= last_values_.size() ? 0 : last;
  cowfs::Random random(options_.seed + runs_);
  if (random.below(100) < end_percent) return random.one_in(2) ? 0 : last;
  const std::vector<double> probabilities = posterior();
  const double draw = static_cast<double>(random.next() >> 11) * 0x1p-53;
  const double target = random.one_in(2) ? 0.5 : draw;  // the median, or a sample of the posterior
  double mass = 0;
  std::size_t culprit = 1;
  for (std::size_t j = 1; j <= last; ++j) {
    if (probabilities[j] > 0) culprit = j;
    mass += probabilities[j];
    if (mass >= target) break;
  }
  return measurable(random.one_in(2) ? culprit : culprit - 1);
}

std::optional<double> Bisection::effect(std::size_t culprit) const {
  Sums left;
  for (std::size_t commit = 0; commit < culprit; ++commit) {
    left.count += sums_[commit].count;
    left.sum += sums_[commit].sum;
  }
  const double right_count = all_.count - left.count;
  if (left.count == 0 || right_count == 0) return std::nullopt;
  return std::expm1((all_.sum - left.sum) / right_count - left.sum / left.count);
}

}  // namespace cowbench::history
