// co_await on(core, function): runs `function` on another core and brings its result back. `function` may return a
// value or a Task. When the core is this one it is a plain call, at once. The awaiting frame owns the function and what
// it captured, until the answer. Never a capturing coroutine lambda: the function returns `object.some_task(arguments)`
// or a value.
#pragma once
#include <optional>
#include <type_traits>
#include <utility>

#include "engine/runtime/reactor.h"
#include "engine/runtime/task.h"

namespace cowfs::runtime {

namespace internal {

template <typename T>
struct TaskResult {
  using Type = T;
  static constexpr bool is_task = false;
};
template <typename T>
struct TaskResult<Task<T>> {
  using Type = T;
  static constexpr bool is_task = true;
};

struct Empty {};

// A coroutine that runs by itself and frees itself; only for code in this room that guarantees completion.
struct Detached {
  struct promise_type {
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept { free_frame(frame, bytes); }
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept {
      assertion_failed("no exception leaves a task", __FILE__, __LINE__);
    }
  };
};

// A task that is called on the core that asked: no message, no detour through the run queue.
template <typename TaskType>
struct CallHere {
  TaskType task;
  typename TaskType::Awaiter awaiter{};
};

template <typename Function>
class OnAwaiter : Message {
  using Returned = std::invoke_result_t<Function&>;
  using Value = typename TaskResult<Returned>::Type;
  using Stored = std::conditional_t<std::is_void_v<Value>, Empty, Value>;

  static constexpr bool is_task = TaskResult<Returned>::is_task;

 public:
  OnAwaiter(CoreIndex to, Function function) : to_(to), function_(std::move(function)) {}

  bool await_ready() {
    if (is_task || to_ != this_reactor().core()) return false;
    call();
    return true;
  }
  bool await_suspend(std::coroutine_handle<> waiter) {
    home_ = this_reactor().core();
    if constexpr (is_task) {
      if (to_ == home_) {
        here_.task = function_();
        here_.awaiter = here_.task.operator co_await();
        return here_.awaiter.await_suspend(waiter);
      }
    }
    waiter_ = waiter;
    deliver = [](Message& message) { run(static_cast<OnAwaiter&>(message)); };
    this_reactor().post(to_, *this);
    return true;
  }
  Value await_resume() {
    if constexpr (is_task) {
      if (to_ == home_) return here_.awaiter.await_resume();
    }
    if constexpr (!std::is_void_v<Value>) return std::move(*value_);
  }

 private:
  static Detached run(OnAwaiter& self) {
    if constexpr (is_task) {
      Returned task = self.function_();
      if constexpr (std::is_void_v<Value>) {
        co_await task;
      } else {
        self.value_.emplace(co_await task);
      }
    } else {
      self.call();
    }
    self.answer();
    co_return;
  }

  void call() {
    if constexpr (!is_task) {
      if constexpr (std::is_void_v<Value>) {
        function_();
      } else {
        value_.emplace(function_());
      }
    }
  }

  void answer() {
    deliver = [](Message& message) { static_cast<OnAwaiter&>(message).waiter_.resume(); };
    this_reactor().post(home_, *this);
  }

  CoreIndex to_;
  CoreIndex home_ = 0;
  Function function_;
  std::coroutine_handle<> waiter_;
  std::optional<Stored> value_;
  [[no_unique_address]] std::conditional_t<is_task, CallHere<Returned>, Empty> here_;
};

}  // namespace internal

template <typename Function>
internal::OnAwaiter<Function> on(CoreIndex core, Function function) {
  return {core, std::move(function)};
}

}  // namespace cowfs::runtime
