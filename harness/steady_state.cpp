#include "harness/steady_state.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

namespace cowbench::harness {
namespace {

constexpr double whole_second = 0.9;  // ticks come late, and the next is short then
constexpr double snia_range = 0.20, snia_excursion = 0.10;

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Of the best line through values that are one step apart (least squares).
double slope_of(std::span<const double> values) {
  const double middle = static_cast<double>(values.size() - 1) / 2, mean = mean_of(values);
  double product = 0, square = 0;
  for (std::size_t at = 0; at < values.size(); ++at) {
    const double step = static_cast<double>(at) - middle;
    product += step * (values[at] - mean);
    square += step * step;
  }
  return product / square;
}

double deviation_of(std::span<const double> values) {
  const double mean = mean_of(values);
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value - mean));
  return most;
}

}  // namespace

bool SteadyByRule::add(double seconds, double ops_s, double mb_s) {
  if (ramp_seconds_ < rule_.ramp_seconds) {
    ramp_seconds_ += seconds;
    return false;
  }
  if (seconds < whole_second) return false;
  samples_.push_back({ops_s, mb_s});
  if (samples_.size() > rule_.seconds) samples_.pop_front();
  if (samples_.size() < rule_.seconds || samples_.size() < 2) return false;
  std::vector<double> rates;
  for (const Sample& sample : samples_)
    rates.push_back(rule_.of == workloads::SteadyRule::Of::bytes ? sample.mb_s * 1e6 : sample.ops_s);
  double criterion = rule_.slope ? std::abs(slope_of(rates)) : deviation_of(rates);
  if (rule_.percent) criterion *= 100 / mean_of(rates);
  return criterion < rule_.limit;
}

double SteadyByRule::mean(double Sample::*rate) const {
  double sum = 0;
  for (const Sample& sample : samples_) sum += sample.*rate;
  return sum / static_cast<double>(samples_.size());
}

double SteadyByRule::ops_s() const { return mean(&Sample::ops_s); }
double SteadyByRule::mb_s() const { return mean(&Sample::mb_s); }

bool SteadyBySnia::add(double seconds, double ops_s, double) {
  seconds_ += seconds;
  operations_ += seconds * ops_s;
  if (seconds_ < window_seconds_ * whole_second) return false;
  means_.push_back(operations_ / seconds_);
  if (means_.size() > windows) means_.pop_front();
  seconds_ = operations_ = 0;
  ++seen_;
  return is_steady();
}

bool SteadyBySnia::is_steady() const {
  if (means_.size() < windows) return false;
  const std::vector<double> means(means_.begin(), means_.end());
  const double mean = mean_of(means);
  const auto [low, high] = std::ranges::minmax(means);
  const double excursion = std::abs(slope_of(means)) * (windows - 1);
  return high - low <= snia_range * mean && excursion <= snia_excursion * mean;
}

}  // namespace cowbench::harness
