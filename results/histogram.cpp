// Value v sits in bucket b = bits(v | 2047) - 11 at sub-bucket v >> b; buckets above the first use only their upper
// half (the lower half is the previous bucket), so 42 value bits need 33 * 1024 slots: 264 KiB, of which a run touches
// a few pages. A sorted vector would be exact but grows with the run; a t-digest is smaller, but merging is not exact.
#include "results/histogram.h"

#include <cmath>

#include "engine/base/assert.h"

namespace cowbench::results {

static_assert(layout::slot_of(0) == 0 && layout::slot_of(2047) == 2047 && layout::slot_of(2048) == 2048);
static_assert(layout::slot_of(layout::highest_trackable_ns) == layout::slots - 1);
static_assert(layout::highest_in_slot(layout::slots - 1) == layout::highest_trackable_ns);

void HistogramCounts::record_many(u64 value_ns, u64 times) {
  assert(times > 0);
  record(value_ns);
  const u64 others = times - 1;
  slot_counts[layout::slot_of(std::min(value_ns, layout::highest_trackable_ns))] += others;
  count += others;
  sum_ns += others * value_ns;
}

void HistogramCounts::merge(const HistogramCounts& other) {
  for (u32 slot = 0; slot < layout::slots; ++slot) slot_counts[slot] += other.slot_counts[slot];
  count += other.count;
  sum_ns += other.sum_ns;
  max_ns = std::max(max_ns, other.max_ns);
  minimum_complement = std::max(minimum_complement, other.minimum_complement);
}

void HistogramCounts::reset() {
  count = sum_ns = max_ns = minimum_complement = 0;
  slot_counts.fill(0);
}

u64 HistogramCounts::percentile_ns(double percent) const {
  assert(percent >= 0 && percent <= 100);
  if (empty()) return 0;
  // One ulp less, or 99.9% of 1000 values would round up to rank 1000 instead of 999.
  const double exact_rank = std::nextafter(percent / 100 * static_cast<double>(count), 0.0);
  const u64 rank = std::clamp(static_cast<u64>(std::ceil(exact_rank)), u64{1}, count);
  u64 seen = 0;
  for (u32 slot = 0; slot < layout::slots; ++slot) {
    seen += slot_counts[slot];
    if (seen < rank) continue;
    // The last slot also holds what was above the range; only the maximum is sure not to under-report those.
    return slot == layout::slots - 1 ? max_ns : std::min(layout::highest_in_slot(slot), max_ns);
  }
  assert(!"the slots hold as many values as were counted");
  __builtin_unreachable();
}

std::vector<PercentilePoint> percentile_curve(const HistogramCounts& counts) {
  constexpr double beyond_min = 10 - 1e-6;  // 99.9% of 10,000 leaves ten, but not quite in binary fractions
  constexpr std::array percents{1.0,   5.0,  10.0,  20.0,  30.0,  40.0,   50.0,   60.0,   70.0,    75.0,
                                80.0,  85.0, 90.0,  92.5,  95.0,  97.5,   98.0,   99.0,   99.25,   99.5,
                                99.75, 99.9, 99.95, 99.98, 99.99, 99.995, 99.998, 99.999, 99.9999, 99.99999};
  std::vector<PercentilePoint> points;
  if (counts.empty()) return points;
  for (const double percent : percents) {
    if ((100 - percent) / 100 * static_cast<double>(counts.count) < beyond_min) break;
    points.push_back({percent, counts.percentile_ns(percent)});
  }
  points.push_back({100, counts.max_ns});
  return points;
}

}  // namespace cowbench::results
