// co_await on(core, function): runs `function` on another core and brings its result back. `function` may return a value
// or a Task. When the core is this one it is a plain call. Captures must stay valid until the answer: the awaiting frame
// owns them, and the function is moved into the callee's frame, never a capturing coroutine lambda: it returns
// `object.some_task(arguments)` or a value.
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
    [[noreturn]] void unhandled_exception() const noexcept { assertion_failed("no exception leaves a task", __FILE__, __LINE__); }
  };
};

template <typename Function>
class OnAwaiter : Message {
  using Returned = std::invoke_result_t<Function&>;
  using Value = typename TaskResult<Returned>::Type;
  using Stored = std::conditional_t<std::is_void_v<Value>, Empty, Value>;

 public:
  OnAwaiter(CoreIndex to, Function function) : to_(to), function_(std::move(function)) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    home_ = this_reactor().core();
    if (to_ == home_) {
      start();
      return;
    }
    deliver = [](Message& message) { static_cast<OnAwaiter&>(message).start(); };
    this_reactor().post(to_, *this);
  }
  Value await_resume() {
    if constexpr (!std::is_void_v<Value>) return std::move(*value_);
  }

 private:
  void start() { run(*this); }

  static Detached run(OnAwaiter& self) {
    if constexpr (TaskResult<Returned>::is_task) {
      Returned task = self.function_();
      if constexpr (std::is_void_v<Value>) {
        co_await task;
        self.value_.emplace();
      } else {
        self.value_.emplace(co_await task);
      }
    } else if constexpr (std::is_void_v<Value>) {
      self.function_();
      self.value_.emplace();
    } else {
      self.value_.emplace(self.function_());
    }
    self.answer();
    co_return;
  }

  void answer() {
    Reactor& reactor = this_reactor();
    if (reactor.core() == home_) {
      reactor.schedule(waiter_);
      return;
    }
    deliver = [](Message& message) { static_cast<OnAwaiter&>(message).waiter_.resume(); };
    reactor.post(home_, *this);
  }

  CoreIndex to_;
  CoreIndex home_ = 0;
  Function function_;
  std::coroutine_handle<> waiter_;
  std::optional<Stored> value_;
};

}  // namespace internal

template <typename Function>
internal::OnAwaiter<Function> on(CoreIndex core, Function function) {
  return {core, std::move(function)};
}

}  // namespace cowfs::runtime
