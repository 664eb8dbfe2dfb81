// Waiting within one core: no atomics, waiters resume in order of arrival through the run queue.
#pragma once
#include <coroutine>
#include <deque>

#include "engine/runtime/reactor.h"
#include "engine/runtime/task.h"

namespace cowfs::runtime {

// Gives other ready coroutines of this core a turn.
struct Yield {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> self) const { this_reactor().schedule(self); }
  void await_resume() const noexcept {}
};
inline Yield yield() { return {}; }

// A list of waiters; wake_all() schedules everyone who waits now.
class WaitList {
 public:
  struct Awaiter {
    WaitList& list;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) { list.waiters_.push_back(self); }
    void await_resume() const noexcept {}
  };
  Awaiter wait() { return {*this}; }
  bool empty() const { return waiters_.empty(); }
  void wake_one() {
    if (waiters_.empty()) return;
    this_reactor().schedule(waiters_.front());
    waiters_.pop_front();
  }
  void wake_all() {
    while (!waiters_.empty()) wake_one();
  }

 private:
  std::deque<std::coroutine_handle<>> waiters_;
};

// Mutual exclusion between coroutines of one core, handed over in order of arrival.
//   co_await lock.acquire(); ... lock.release();
class Mutex {
 public:
  bool held() const { return held_; }
  bool try_acquire() {
    if (held_) return false;
    return held_ = true;
  }
  struct Awaiter {
    Mutex& mutex;
    bool await_ready() { return mutex.try_acquire(); }
    void await_suspend(std::coroutine_handle<> self) { mutex.waiters_.push_back(self); }
    void await_resume() const noexcept {}
  };
  Awaiter acquire() { return {*this}; }
  void release() {
    assert(held_);
    if (waiters_.empty()) {
      held_ = false;
      return;
    }
    this_reactor().schedule(waiters_.front());  // stays held: ownership passes
    waiters_.pop_front();
  }

 private:
  bool held_ = false;
  std::deque<std::coroutine_handle<>> waiters_;
};

// Releases a held mutex at the end of the scope.
class MutexHold {
 public:
  MutexHold() = default;
  explicit MutexHold(Mutex& mutex) : mutex_(&mutex) {}
  MutexHold(MutexHold&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
  MutexHold& operator=(MutexHold&& other) noexcept {
    release();
    mutex_ = std::exchange(other.mutex_, nullptr);
    return *this;
  }
  ~MutexHold() { release(); }
  void release() {
    if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->release();
  }

 private:
  Mutex* mutex_ = nullptr;
};

// Counts tasks that run on their own, so that shutdown can wait for them. Nothing is detached outside a gate.
class Gate {
 public:
  ~Gate() { assert(running_ == 0); }
  // Starts `task` now; it frees itself when done.
  void spawn(Task<void> task);
  u64 running() const { return running_; }
  // Resumes when no task of this gate runs any more.
  Task<void> drained();

 private:
  u64 running_ = 0;
  WaitList idle_;
};

// Suspends until `deadline_ns` of this core's clock.
Task<void> sleep_until(u64 deadline_ns);

}  // namespace cowfs::runtime
