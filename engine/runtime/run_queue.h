// Coroutines ready to run, first in first out. Grows to the largest number that was ever ready at once, which the
// bounds on requests above bound.
#pragma once
#include <coroutine>
#include <utility>
#include <vector>

#include "engine/base/types.h"

namespace cowfs::runtime {

class RunQueue {
 public:
  bool empty() const { return head_ == tail_; }
  u64 size() const { return tail_ - head_; }
  void push(std::coroutine_handle<> coroutine) {
    if (size() == slots_.size()) grow();
    slots_[tail_++ & (slots_.size() - 1)] = coroutine;
  }
  // Precondition: not empty.
  std::coroutine_handle<> pop() { return slots_[head_++ & (slots_.size() - 1)]; }

 private:
  void grow() {
    std::vector<std::coroutine_handle<>> larger(slots_.size() * 2);
    const u64 count = size();
    for (u64 i = 0; i < count; ++i) larger[i] = slots_[(head_ + i) & (slots_.size() - 1)];
    slots_ = std::move(larger);
    head_ = 0;
    tail_ = count;
  }

  std::vector<std::coroutine_handle<>> slots_ = std::vector<std::coroutine_handle<>>(256);  // a power of two
  u64 head_ = 0;
  u64 tail_ = 0;
};

}  // namespace cowfs::runtime
