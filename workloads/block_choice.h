// Which block of a range comes next: every one once in a random order, or drawn from a distribution. Nothing here takes
// memory or time that grows with the range.
#pragma once
#include "engine/base/random.h"
#include "workloads/fio_job.h"

namespace cowbench::workloads {

// A random order of [0, count): at() is a bijection.
class RandomOrder {
 public:
  // Precondition: 0 < count <= 2^60.
  RandomOrder(u64 count, u64 seed);
  u64 at(u64 position) const;  // precondition: position < count

 private:
  u64 mixed(u64 value) const;

  u64 count_;
  u32 half_bits_;
  std::array<u64, 4> keys_;
};

// Draws blocks with replacement.
class BlockDistribution {
 public:
  // Precondition: count > 0. `seed` decides which blocks are the hot ones where the distribution does not say.
  BlockDistribution(const FioDistribution& shape, u64 count, u64 seed);
  u64 next(cowfs::Random& random) const;

 private:
  u64 zipf(cowfs::Random& random) const;
  u64 pareto(cowfs::Random& random) const;
  u64 normal(cowfs::Random& random) const;
  u64 zoned(cowfs::Random& random) const;
  u64 placed(u64 rank) const;

  FioDistribution shape_;
  u64 count_;
  RandomOrder scatter_;
  double integral_low_ = 0, integral_high_ = 0, shortcut_ = 0;  // zipf
  double power_ = 0;                                           // pareto
};

}  // namespace cowbench::workloads
