// The lanes of a client: as many coroutines as it has operations in flight, and one that waits for the end of all.
#pragma once
#include <coroutine>

#include "engine/runtime/task.h"
#include "harness/ready_task.h"
#include "harness/target_calls.h"

namespace cowbench::harness {

// `Client` has Task<void> run_lane(u32 lane). To be awaited once; the client outlives it.
template <typename Client>
class Lanes {
 public:
  Lanes(Client& client, u32 count) : client_(client), count_(count) {}
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  bool await_ready() {
    running_ = count_ + 1;  // one for ourselves, so that none can be the last one before all have begun
    for (u32 lane = 0; lane < count_; ++lane) start(*this, lane);
    return --running_ == 0;
  }
  void await_suspend(std::coroutine_handle<> waiting) noexcept { waiting_ = waiting; }
  void await_resume() const noexcept {}

 private:
  static internal::Started start(Lanes& lanes, u32 lane) {
    co_await lanes.client_.run_lane(lane);
    if (--lanes.running_ == 0) lanes.waiting_.resume();
  }

  Client& client_;
  const u32 count_;
  u32 running_ = 0;
  std::coroutine_handle<> waiting_;
};

}  // namespace cowbench::harness
