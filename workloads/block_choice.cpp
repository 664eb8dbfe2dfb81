// RandomOrder is a Feistel network of four rounds on the next even number of bits, walked until it lands inside: at most
// four times as many values as there are blocks, so the walk takes a few steps.
//
// Zipf is Hörmann and Derflinger's rejection from the integral of x^-theta (1996): exact for any theta, and without the
// sum over all ranks that other methods begin with.
#include "workloads/block_choice.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace cowbench::workloads {
namespace {

double unit(cowfs::Random& random) { return static_cast<double>(random.next() >> 11) * 0x1p-53; }

// The integral of x^-theta and its inverse; with care where theta is 1.
double integral(double x, double theta) {
  const double log_x = std::log(x);
  const double t = (1 - theta) * log_x;
  return std::abs(t) > 1e-8 ? std::expm1(t) / t * log_x : log_x * (1 + t / 2);
}
double inverse(double x, double theta) {
  const double t = std::max(-1.0, x * (1 - theta));
  return std::exp(std::abs(t) > 1e-8 ? std::log1p(t) / t * x : x * (1 - t / 2));
}

u64 below(double value, u64 count) {
  if (!(value > 0)) return 0;
  return std::min(static_cast<u64>(value), count - 1);
}

}  // namespace

RandomOrder::RandomOrder(u64 count, u64 seed)
    : count_(count), half_bits_((static_cast<u32>(std::bit_width(count - 1)) + 1) / 2) {
  cowfs::Random random(seed);
  for (u64& key : keys_) key = random.next() | 1;
}

u64 RandomOrder::mixed(u64 value) const {
  const u64 mask = (u64{1} << half_bits_) - 1;
  u64 left = value >> half_bits_, right = value & mask;
  for (const u64 key : keys_) {
    const u64 round = ((right + 1) * key) >> (64 - std::max(half_bits_, 1u));
    left = std::exchange(right, (left ^ round ^ (key >> 7)) & mask);
  }
  return left << half_bits_ | right;
}

u64 RandomOrder::at(u64 position) const {
  if (count_ == 1) return 0;
  do position = mixed(position);
  while (position >= count_);
  return position;
}

BlockDistribution::BlockDistribution(const FioDistribution& shape, u64 count, u64 seed)
    : shape_(shape), count_(count), scatter_(count, seed) {
  if (shape.shape == FioDistribution::Shape::zipf) {
    const double theta = shape.parameter;
    integral_low_ = integral(1.5, theta) - 1;
    integral_high_ = integral(static_cast<double>(count) + 0.5, theta);
    shortcut_ = 2 - inverse(integral(2.5, theta) - std::pow(2, -theta), theta);
  }
  if (shape.shape == FioDistribution::Shape::pareto) power_ = std::log(shape.parameter) / std::log(1 - shape.parameter);
}

u64 BlockDistribution::next(cowfs::Random& random) const {
  switch (shape_.shape) {
    case FioDistribution::Shape::uniform: return random.below(count_);
    case FioDistribution::Shape::zipf: return placed(zipf(random));
    case FioDistribution::Shape::pareto: return placed(pareto(random));
    case FioDistribution::Shape::normal: return normal(random);
    case FioDistribution::Shape::zoned: return zoned(random);
  }
  return 0;
}

// The most probable rank lies where the center says, or all are scattered.
u64 BlockDistribution::placed(u64 rank) const {
  if (!shape_.center) return scatter_.at(rank);
  return (rank + below(*shape_.center * static_cast<double>(count_), count_)) % count_;
}

u64 BlockDistribution::zipf(cowfs::Random& random) const {
  const double theta = shape_.parameter;
  while (true) {
    const double u = integral_high_ + unit(random) * (integral_low_ - integral_high_);
    const double x = inverse(u, theta);
    const double k = std::clamp(std::floor(x + 0.5), 1.0, static_cast<double>(count_));
    if (k - x <= shortcut_ || u >= integral(k + 0.5, theta) - std::pow(k, -theta)) return below(k - 1, count_);
  }
}

u64 BlockDistribution::pareto(cowfs::Random& random) const {
  return below(static_cast<double>(count_ - 1) * std::pow(unit(random), power_), count_);
}

u64 BlockDistribution::normal(cowfs::Random& random) const {
  double sum = -6;
  for (int draw = 0; draw < 12; ++draw) sum += unit(random);  // near enough to normal: nothing beyond six deviations
  const double width = static_cast<double>(count_);
  const double center = shape_.center.value_or(0.5) * width;
  const double drawn = std::fmod(center + sum * width * shape_.parameter / 100, width);
  return below(drawn < 0 ? drawn + width : drawn, count_);
}

u64 BlockDistribution::zoned(cowfs::Random& random) const {
  u64 draw = random.below(100);
  u64 percent_before = 0;
  for (const FioDistribution::Zone& zone : shape_.zones) {
    if (draw < zone.access_percent) {
      const u64 first = count_ * percent_before / 100;
      const u64 end = std::max(first + 1, count_ * (percent_before + zone.size_percent) / 100);
      return std::min(first + random.below(end - first), count_ - 1);
    }
    draw -= zone.access_percent;
    percent_before += zone.size_percent;
  }
  return random.below(count_);
}

}  // namespace cowbench::workloads
