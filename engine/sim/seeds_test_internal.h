// For tests: which seeds to run, and problems as test failures.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/sim/findings.h"

namespace cowfs::sim {

// Sanitizers take ten times as long.
#ifdef __SANITIZE_ADDRESS__
constexpr u64 share_of_seeds = 10;
#else
constexpr u64 share_of_seeds = 1;
#endif

// `count` seeds, times COWFS_SIM_SEEDS; COWFS_SIM_SEED alone runs one.
inline std::vector<u64> seeds(u64 count) {
  if (const char* one = std::getenv("COWFS_SIM_SEED")) return {std::strtoull(one, nullptr, 0)};
  if (const char* times = std::getenv("COWFS_SIM_SEEDS")) count *= std::strtoull(times, nullptr, 0);
  std::vector<u64> all(std::max<u64>(count / share_of_seeds, 1));
  for (u64 i = 0; i < all.size(); ++i) all[i] = i + 1;
  return all;
}

inline testing::AssertionResult none(const std::vector<std::string>& problems) {
  if (problems.empty()) return testing::AssertionSuccess();
  testing::AssertionResult failure = testing::AssertionFailure();
  for (const std::string& problem : problems) failure << problem << "\n";
  return failure;
}

inline u64 requests(const device::Device& device) {
  const device::DeviceCounts counts = device.counts();
  return counts.reads + counts.writes + counts.flushes;
}

inline void expect_sound(const Image& image) { EXPECT_TRUE(none(findings_in(image))); }

}  // namespace cowfs::sim
