// Runs a task on a plain thread, for targets whose calls are ready at once: such a task never waits, but without optimised
// tail calls (debug and sanitizer builds) each finished subtask would leave its stack frames behind. turn() goes back to
// the bottom of the stack now and then.
#pragma once
#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "engine/base/assert.h"
#include "engine/runtime/task.h"

namespace cowbench::harness {

class Trampoline {
 public:
  // To be awaited once an operation by the task that runs; see DbenchHost.
  struct Turn {
    Trampoline& trampoline;
    bool await_ready() const noexcept { return ++trampoline.turns_ % turns_between_returns != 0; }
    void await_suspend(std::coroutine_handle<> task) const noexcept { trampoline.waiting_ = task; }
    void await_resume() const noexcept {}
  };
  Turn turn() { return {*this}; }

  // Runs `task` to its end. Precondition: it waits for nothing but turn().
  template <typename T>
  T run(cowfs::runtime::Task<T> task) {
    std::optional<T> result;
    start(task, result);
    bounce();
    assert(result.has_value());
    return std::move(*result);
  }
  void run(cowfs::runtime::Task<void> task) {
    bool ended = false;
    start(task, ended);
    bounce();
    assert(ended);
  }

 private:
  static constexpr unsigned turns_between_returns = 64;

  struct Started {
    struct promise_type {
      Started get_return_object() const noexcept { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    };
  };
  template <typename T>
  static Started start(cowfs::runtime::Task<T>& task, std::optional<T>& result) {
    result = co_await task;
  }
  static Started start(cowfs::runtime::Task<void>& task, bool& ended) {
    co_await task;
    ended = true;
  }
  void bounce() {
    while (waiting_) std::exchange(waiting_, nullptr).resume();
  }

  std::coroutine_handle<> waiting_;
  unsigned turns_ = 0;
};

}  // namespace cowbench::harness
