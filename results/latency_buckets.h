// How long operations took, coarsely: in the buckets of engine/base/latency.h, a quarter of an octave each, so that a record
// can hold every second of every round.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/latency.h"

namespace cowbench::results {

using cowfs::u32;
using cowfs::u64;

using LatencyBuckets = std::array<u64, cowfs::latency_buckets>;

LatencyBuckets sum(const LatencyBuckets& some, const LatencyBuckets& more);
// What came after `before` was counted.
LatencyBuckets difference(const LatencyBuckets& now, const LatencyBuckets& before);

// The end of the bucket in which that share of them lies or ends; absent when nothing was counted.
std::optional<u64> percentile_ns(const LatencyBuckets& buckets, double share);

// The number of the first bucket that holds anything, then its count and those after it, up to the last that is not 0:
// "21 3 0 41". Empty when nothing was counted.
std::string to_text(const LatencyBuckets& buckets);

// Absent when `text` is not what to_text() writes.
std::optional<LatencyBuckets> latency_buckets_from(std::string_view text);

}  // namespace cowbench::results
