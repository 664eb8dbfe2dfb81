// How often something happened, how many bytes it moved and how long it took: the plain form of every counter.
//
// Latencies go to buckets, four to an octave: the two ends of one are at most a quarter apart. From 64 ns (everything
// shorter is in the first bucket) to two minutes (everything longer is in the last).
#pragma once
#include <algorithm>
#include <array>
#include <bit>

#include "engine/base/types.h"

namespace cowfs {

constexpr u32 latency_buckets = 128;
constexpr u32 latency_octave_min = 6;  // 2^6 ns

constexpr u32 latency_bucket(u64 ns) {
  if (ns < 1ull << latency_octave_min) return 0;
  const u32 octave = static_cast<u32>(std::bit_width(ns)) - 1;
  const u32 quarter = static_cast<u32>(ns >> (octave - 2)) & 3;
  return std::min((octave - latency_octave_min) * 4 + quarter + 1, latency_buckets - 1);
}

// The first latency beyond the bucket, by which it is known.
constexpr u64 latency_bucket_end_ns(u32 bucket) {
  return static_cast<u64>(4 + bucket % 4) << (latency_octave_min - 2 + bucket / 4);
}

struct Totals {
  u64 count = 0;
  u64 bytes = 0;
  std::array<u64, latency_buckets> latencies{};  // of those that were timed

  u64 timed() const {
    u64 sum = 0;
    for (const u64 one : latencies) sum += one;
    return sum;
  }
  // The end of the bucket in which that share of the timed ones lies or ends; 0 when none was timed. `share` in [0, 1].
  u64 percentile_ns(double share) const {
    const double wanted = share * static_cast<double>(timed());
    u64 seen = 0;
    for (u32 bucket = 0; bucket < latency_buckets; ++bucket) {
      seen += latencies[bucket];
      if (seen > 0 && static_cast<double>(seen) >= wanted) return latency_bucket_end_ns(bucket);
    }
    return 0;
  }
  Totals& operator+=(const Totals& other) {
    count += other.count;
    bytes += other.bytes;
    for (u32 bucket = 0; bucket < latency_buckets; ++bucket) latencies[bucket] += other.latencies[bucket];
    return *this;
  }
};

}  // namespace cowfs
