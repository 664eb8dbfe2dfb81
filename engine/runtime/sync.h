// Waiting within one core: no atomics, waiters resume in order of arrival through the run queue.
#pragma once
#include <coroutine>
#include <utility>

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

// Lets everything that is ready on this core run first, loads that gave way included; at once when nothing is.
struct YieldToAll {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> self) const { this_reactor().schedule_last(self); }
  void await_resume() const noexcept {}
};
inline YieldToAll yield_to_all() { return {}; }

// A list of waiters; wake_all() schedules everyone who waits now. Waiters are linked through their own frames, so an
// unused list costs two words and no memory is ever allocated.
class WaitList {
 public:
  WaitList() = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;

  class Awaiter {
   public:
    explicit Awaiter(WaitList& list) : list_(list) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) {
      waiter_ = self;
      list_.append(*this);
    }
    void await_resume() const noexcept {}

   private:
    friend class WaitList;
    WaitList& list_;
    Awaiter* next_ = nullptr;
    std::coroutine_handle<> waiter_;
  };
  Awaiter wait() { return Awaiter{*this}; }
  bool empty() const { return first_ == nullptr; }
  void wake_one() {
    if (empty()) return;
    Awaiter& woken = *std::exchange(first_, first_->next_);
    this_reactor().schedule(woken.waiter_);
  }
  void wake_all() {
    while (!empty()) wake_one();
  }

 private:
  void append(Awaiter& awaiter) {
    if (empty()) {
      first_ = &awaiter;
    } else {
      last_->next_ = &awaiter;
    }
    last_ = &awaiter;
  }

  Awaiter* first_ = nullptr;
  Awaiter* last_ = nullptr;  // meaningful when first_ is set
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
  class Awaiter {
   public:
    explicit Awaiter(Mutex& mutex) : mutex_(mutex), wait_(mutex.waiters_) {}
    bool await_ready() { return mutex_.try_acquire(); }
    void await_suspend(std::coroutine_handle<> self) { wait_.await_suspend(self); }
    void await_resume() const noexcept {}

   private:
    Mutex& mutex_;
    WaitList::Awaiter wait_;
  };
  Awaiter acquire() { return Awaiter{*this}; }
  void release() {
    assert(held_);
    if (waiters_.empty()) {
      held_ = false;
      return;
    }
    waiters_.wake_one();  // stays held: ownership passes
  }

 private:
  bool held_ = false;
  WaitList waiters_;
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
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() { assert(running_ == 0); }
  // Starts `task` now; it frees itself when done.
  void spawn(Task<void> task);
  u64 running() const { return running_; }
  // Resumes when no task of this gate runs any more.
  Task<void> drained();

 private:
  friend struct GateRunner;
  u64 running_ = 0;
  WaitList idle_;
};

// Suspends until `deadline_ns` of this core's clock.
Task<void> sleep_until(u64 deadline_ns);

}  // namespace cowfs::runtime
