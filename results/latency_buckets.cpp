#include "results/latency_buckets.h"

#include <algorithm>
#include <charconv>
#include <functional>

namespace cowbench::results {
namespace {

bool is_counted(u64 count) { return count > 0; }

// Takes a number and the blank after it, if there is one.
std::optional<u64> take_number(std::string_view& text) {
  u64 number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text.starts_with(' ')) text.remove_prefix(1);
  return number;
}

}  // namespace

LatencyBuckets sum(const LatencyBuckets& some, const LatencyBuckets& more) {
  LatencyBuckets all;
  std::ranges::transform(some, more, all.begin(), std::plus{});
  return all;
}

LatencyBuckets difference(const LatencyBuckets& now, const LatencyBuckets& before) {
  LatencyBuckets since;
  std::ranges::transform(now, before, since.begin(), std::minus{});
  return since;
}

std::optional<u64> percentile_ns(const LatencyBuckets& buckets, double share) {
  cowfs::Totals totals;
  totals.latencies = buckets;
  if (totals.timed() == 0) return std::nullopt;
  return totals.percentile_ns(share);
}

std::string to_text(const LatencyBuckets& buckets) {
  const auto first = std::ranges::find_if(buckets, is_counted);
  if (first == buckets.end()) return {};
  const auto end = std::find_if(buckets.rbegin(), buckets.rend(), is_counted).base();
  std::string text = std::to_string(first - buckets.begin());
  for (auto bucket = first; bucket != end; ++bucket) text += ' ' + std::to_string(*bucket);
  return text;
}

std::optional<LatencyBuckets> latency_buckets_from(std::string_view text) {
  LatencyBuckets buckets{};
  if (text.empty()) return buckets;
  std::string_view left = text;
  const auto first = take_number(left);
  if (!first) return std::nullopt;
  for (u64 bucket = *first; !left.empty(); ++bucket) {
    const auto count = take_number(left);
    if (!count || bucket >= buckets.size()) return std::nullopt;
    buckets[bucket] = *count;
  }
  if (to_text(buckets) != text) return std::nullopt;  // there is one way to write them
  return buckets;
}

}  // namespace cowbench::results
