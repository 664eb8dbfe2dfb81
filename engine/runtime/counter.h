// A count that one thread makes and any thread may read. No read-modify-write: one writer only.
#pragma once
#include <atomic>

#include "engine/base/types.h"

namespace cowfs::runtime {

class Counter {
 public:
  void add(u64 amount = 1) { value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed); }
  u64 value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<u64> value_{0};
};

}  // namespace cowfs::runtime
