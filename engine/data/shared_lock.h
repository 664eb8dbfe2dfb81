// Many readers or one writer, between coroutines of one core. A waiting writer holds back new readers.
#pragma once
#include "engine/runtime/sync.h"

namespace cowfs::data {

class SharedLock {
 public:
  bool exclusive() const { return exclusive_ || exclusive_waiting_ > 0; }
  bool idle() const { return shared_ == 0 && !exclusive_ && exclusive_waiting_ == 0; }

  bool try_acquire_shared() {
    if (exclusive()) return false;
    ++shared_;
    return true;
  }
  runtime::Task<void> acquire_shared() {
    while (exclusive()) co_await changed_.wait();
    ++shared_;
  }
  void release_shared() {
    assert(shared_ > 0);
    if (--shared_ == 0) changed_.wake_all();
  }
  runtime::Task<void> acquire_exclusive() {
    ++exclusive_waiting_;
    while (exclusive_ || shared_ > 0) co_await changed_.wait();
    --exclusive_waiting_;
    exclusive_ = true;
  }
  void release_exclusive() {
    assert(exclusive_);
    exclusive_ = false;
    changed_.wake_all();
  }

 private:
  u32 shared_ = 0;
  bool exclusive_ = false;
  u32 exclusive_waiting_ = 0;
  runtime::WaitList changed_;
};

class SharedHold {
 public:
  explicit SharedHold(SharedLock& lock) : lock_(lock) {}
  SharedHold(const SharedHold&) = delete;
  SharedHold& operator=(const SharedHold&) = delete;
  ~SharedHold() { lock_.release_shared(); }

 private:
  SharedLock& lock_;
};

class ExclusiveHold {
 public:
  explicit ExclusiveHold(SharedLock& lock) : lock_(lock) {}
  ExclusiveHold(const ExclusiveHold&) = delete;
  ExclusiveHold& operator=(const ExclusiveHold&) = delete;
  ~ExclusiveHold() { lock_.release_exclusive(); }

 private:
  SharedLock& lock_;
};

}  // namespace cowfs::data
