// Where a series of values, one a commit, changes its level. Loose on purpose: what it finds are candidates, and fresh
// measurements decide (tracker.h). Pure functions.
#pragma once
#include <span>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::history {

using cowfs::u64;

struct ChangePoint {
  std::size_t at;  // the first value of the new level
  double effect;   // new level / old level - 1
  double p;        // Welch's, of the neighbouring segments
  bool operator==(const ChangePoint&) const = default;
};

struct DetectorOptions {
  double p_max = 0.01;
  double effect_min = 0.02;
  std::size_t segment_min = 2;
  std::size_t window = 50;  // values looked at together; a change is looked for in overlapping windows
};

// `logs`: logarithms of the values, in the order of commits. Deterministic.
std::vector<ChangePoint> detect_changes(std::span<const double> logs, const DetectorOptions& options = {});

// Two-sided probability of means as far apart as these if the true ones were equal (Welch's t test). 1 when a side has
// fewer than two values.
double welch_p(std::span<const double> a, std::span<const double> b);

}  // namespace cowbench::history
