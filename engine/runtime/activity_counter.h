// Totals that one thread makes and any thread may read. Counting is an addition in memory that this core owns; the
// clock is read only for those who ask (see fs/activity.h).
#pragma once
#include "engine/base/latency.h"
#include "engine/runtime/counter.h"

namespace cowfs::runtime {

class ActivityCounter {
 public:
  void count() { count_.add(); }
  void add_bytes(u64 bytes) { bytes_.add(bytes); }
  void add_latency(u64 ns) { latencies_[latency_bucket(ns)].add(); }
  u64 counted() const { return count_.value(); }
  // What happens meanwhile may or may not be in it.
  Totals totals() const {
    Totals totals;
    totals.count = count_.value();
    totals.bytes = bytes_.value();
    for (u32 bucket = 0; bucket < latency_buckets; ++bucket) totals.latencies[bucket] = latencies_[bucket].value();
    return totals;
  }

 private:
  Counter count_, bytes_;
  std::array<Counter, latency_buckets> latencies_;
};

}  // namespace cowfs::runtime
