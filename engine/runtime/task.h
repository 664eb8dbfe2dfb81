// Task<T>: a coroutine that starts when it is awaited and resumes its awaiter when it is done. Move-only; destroying a
// task that has not finished destroys its frame. Frames come from the frame pool. Exceptions do not cross a task.
#pragma once
#include <coroutine>
#include <optional>
#include <utility>

#include "engine/base/assert.h"
#include "engine/runtime/frame_pool.h"

namespace cowfs::runtime {

template <typename T>
class Task;

namespace internal {

// A task that ends before its first suspension returns to its awaiter like a function; one that ends later resumes it.
// Handing over by symmetric transfer would look neater, but compilers turn it into a jump only when optimising and
// never under sanitizers: there, a loop over tasks that do not suspend grows the stack by 600 bytes a round.
struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();
  bool in_first_run = false;

  static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }
  static void operator delete(void* frame, std::size_t bytes) noexcept { free_frame(frame, bytes); }

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    void await_suspend(std::coroutine_handle<Promise> finished) const noexcept {
      if (!finished.promise().in_first_run) finished.promise().continuation.resume();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept {
    assertion_failed("no exception leaves a task", __FILE__, __LINE__);
  }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() const noexcept {}
  void take() const noexcept {}
};

}  // namespace internal

template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() { destroy(); }

  // The child runs inside the awaiter's resume: one that finishes without suspending returns like a function call, so a
  // loop of them does not grow the stack. One that suspends resumes its awaiter when it is done.
  struct Awaiter {
    Handle handle;
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> awaiting) const noexcept {
      handle.resume();
      if (handle.done()) return false;
      handle.promise().continuation = awaiting;
      return true;
    }
    T await_resume() const { return handle.promise().take(); }
  };
  Awaiter operator co_await() const noexcept {
    assert(handle_ && !handle_.done());
    return Awaiter{handle_};
  }

 private:
  void destroy() {
    if (handle_) handle_.destroy();
  }
  Handle handle_;
};

namespace internal {
template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>{Task<T>::Handle::from_promise(*this)};
}
inline Task<void> Promise<void>::get_return_object() { return Task<void>{Task<void>::Handle::from_promise(*this)}; }
}  // namespace internal

}  // namespace cowfs::runtime
