// Runs a task whose every call is ready at once: it never waits, so it needs no reactor and ends before this returns.
#pragma once
#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "engine/base/assert.h"
#include "engine/runtime/task.h"

namespace cowbench::harness {
namespace internal {

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
Started start(cowfs::runtime::Task<T>& task, std::optional<T>& result) {
  result = co_await task;
}
inline Started start(cowfs::runtime::Task<void>& task, bool& ended) {
  co_await task;
  ended = true;
}

}  // namespace internal

// Precondition: `task` waits for nothing.
template <typename T>
T run_ready(cowfs::runtime::Task<T> task) {
  std::optional<T> result;
  internal::start(task, result);
  assert(result.has_value());
  return std::move(*result);
}
inline void run_ready(cowfs::runtime::Task<void> task) {
  bool ended = false;
  internal::start(task, ended);
  assert(ended);
}

}  // namespace cowbench::harness
