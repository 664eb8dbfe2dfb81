// Latencies in nanoseconds, in HdrHistogram's layout with three significant digits: any reported value is at most 0.1%
// above what was recorded, from 1 ns to 73 minutes. Plain memory of a fixed size: all zero bytes are an empty
// histogram, so a child process may fill one in a fresh shared mapping; the parent reads it once the child is done.
// One writer, no locks, no atomics: give each core its own and merge afterwards.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <type_traits>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::results {

using cowfs::u32;
using cowfs::u64;

namespace layout {
constexpr u32 sub_bucket_bits = 11;  // 2048 >= 2 * 10^3: three significant digits
constexpr u32 half_bits = sub_bucket_bits - 1;
constexpr u32 value_bits = 42;  // 2^42 ns = 73 minutes
constexpr u64 highest_trackable_ns = (u64{1} << value_bits) - 1;
constexpr u32 slots = (value_bits - sub_bucket_bits + 2) << half_bits;

constexpr u32 slot_of(u64 value_ns) {
  const u32 bucket = static_cast<u32>(std::bit_width(value_ns | ((u64{1} << sub_bucket_bits) - 1))) - sub_bucket_bits;
  return (bucket << half_bits) + static_cast<u32>(value_ns >> bucket);
}

// The largest value that lands in the same slot.
constexpr u64 highest_in_slot(u32 slot) {
  const u32 bucket = slot < (1u << sub_bucket_bits) ? 0 : (slot >> half_bits) - 1;
  const u64 sub_bucket = slot - (u64{bucket} << half_bits);
  return ((sub_bucket + 1) << bucket) - 1;
}
}  // namespace layout

struct HistogramCounts {
  u64 count;
  u64 sum_ns;
  u64 max_ns;              // exact, also above the trackable range
  u64 minimum_complement;  // the greatest ~value so far: keeps all-zero bytes valid, and record() free of a branch
  std::array<u64, layout::slots> slot_counts;

  // Values above highest_trackable_ns count in the last slot.
  void record(u64 value_ns) {
    ++slot_counts[layout::slot_of(std::min(value_ns, layout::highest_trackable_ns))];
    ++count;
    sum_ns += value_ns;
    max_ns = std::max(max_ns, value_ns);
    minimum_complement = std::max(minimum_complement, ~value_ns);
  }

  // The same as recording it so many times. Precondition: times > 0.
  void record_many(u64 value_ns, u64 times);

  // The same as having recorded the other's values here too: exact, and in any order of merging.
  void merge(const HistogramCounts& other);
  void reset();

  bool empty() const { return count == 0; }
  u64 min_ns() const { return empty() ? 0 : ~minimum_complement; }
  double mean_ns() const { return empty() ? 0 : static_cast<double>(sum_ns) / static_cast<double>(count); }

  // The smallest value that at least `percent` of the values do not exceed, rounded up to the end of its slot but never
  // above the maximum. It never under-reports. 0 when empty. Precondition: 0 <= percent <= 100.
  u64 percentile_ns(double percent) const;
};
static_assert(std::is_trivially_copyable_v<HistogramCounts> && std::is_trivial_v<HistogramCounts>);

struct PercentilePoint {
  double percent;
  u64 value_ns;
  bool operator==(const PercentilePoint&) const = default;
};

// The points of a percentile plot: the usual percentiles, as far into the tail as at least ten values lie beyond, and
// the maximum as 100.
std::vector<PercentilePoint> percentile_curve(const HistogramCounts& counts);

}  // namespace cowbench::results
