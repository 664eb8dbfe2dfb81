#include "results/exchange/fio_bins.h"

#include <algorithm>
#include <bit>

#include "engine/base/assert.h"

namespace cowbench::exchange {
namespace {

constexpr u64 longest_ns = (u64{1} << 34) - 1;

}  // namespace

u64 fio_bin_ns(u64 latency_ns) {
  const u64 kept = std::min(latency_ns, longest_ns);
  if (kept < 128) return kept;
  const u32 dropped_bits = static_cast<u32>(std::bit_width(kept)) - 7;
  return (kept >> dropped_bits << dropped_bits) + (u64{1} << dropped_bits) / 2;
}

FioBins fio_bins(const results::HistogramCounts& latencies) {
  FioBins bins;
  for (u32 slot = 0; slot < results::layout::slots; ++slot) {
    const u64 count = latencies.slot_counts[slot];
    if (count > 0) bins[fio_bin_ns(results::layout::highest_in_slot(slot))] += count;
  }
  return bins;
}

u64 percentile_ns(const FioBins& bins, double percent) {
  assert(!bins.empty());
  u64 all = 0, seen = 0;
  for (const auto& [bin_ns, count] : bins) all += count;
  for (const auto& [bin_ns, count] : bins) {
    seen += count;
    if (static_cast<double>(seen) >= percent / 100 * static_cast<double>(all)) return bin_ns;
  }
  return bins.rbegin()->first;
}

}  // namespace cowbench::exchange
