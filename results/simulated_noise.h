// Seeded noise of the kinds that machines make, for tests of statistics. Never part of a program.
#pragma once
#include <cmath>
#include <numbers>

#include "engine/base/random.h"

namespace cowbench::results::simulated {

inline double uniform(cowfs::Random& random) { return (static_cast<double>(random.next() >> 11) + 0.5) * 0x1p-53; }

inline double normal(cowfs::Random& random) {
  return std::sqrt(-2 * std::log(uniform(random))) * std::cos(2 * std::numbers::pi * uniform(random));
}

// A machine whose speed wanders: each run differs from the one before by `step` (relative).
class Drift {
 public:
  explicit Drift(double step) : step_(step) {}
  double next(cowfs::Random& random) { return std::exp(log_speed_ += step_ * normal(random)); }

 private:
  double step_, log_speed_ = 0;
};

}  // namespace cowbench::results::simulated
