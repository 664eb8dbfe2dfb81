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

enum class Noise { normal, heavy_tail, lognormal, bimodal, drift5, drift8 };
constexpr Noise noises[] = {Noise::normal, Noise::heavy_tail, Noise::lognormal, Noise::bimodal, Noise::drift5, Noise::drift8};

inline double student3(cowfs::Random& random) {
  const double z = normal(random);
  double squares = 0;
  for (int i = 0; i < 3; ++i) squares += std::pow(normal(random), 2);
  return z / std::sqrt(squares / 3) / std::sqrt(3.0);  // of variance 1
}

// Of one run, standard deviation 1.
inline double run_noise(Noise noise, cowfs::Random& random) {
  constexpr double sigma = 0.8, sigma2 = sigma * sigma;
  switch (noise) {
    case Noise::heavy_tail: return student3(random);
    case Noise::lognormal: return (std::exp(sigma * normal(random)) - std::exp(sigma2 / 2)) / std::sqrt(std::expm1(sigma2) * std::exp(sigma2));
    case Noise::bimodal: return (random.below(100) < 15 ? 2.0 : -0.35) / 0.84 * 0.7 + 0.7 * normal(random);
    default: return normal(random);
  }
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
