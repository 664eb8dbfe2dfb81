#include "engine/runtime/sync.h"

#include "engine/runtime/on.h"

namespace cowfs::runtime {

struct GateRunner {
  static internal::Detached run(Gate& gate, Task<void> task) {
    co_await task;
    task = Task<void>{};  // what the task owned is gone before anybody hears that it ended
    assert(gate.running_ > 0);
    if (--gate.running_ == 0) gate.idle_.wake_all();
  }
};

void Gate::spawn(Task<void> task) {
  ++running_;
  GateRunner::run(*this, std::move(task));
}

Task<void> Gate::drained() {
  while (running_ > 0) co_await idle_.wait();
}

namespace {

class SleepAwaiter : Timer {
 public:
  explicit SleepAwaiter(u64 deadline) { deadline_ns = deadline; }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    fire = [](Timer& timer) { this_reactor().schedule(static_cast<SleepAwaiter&>(timer).waiter_); };
    this_reactor().start_timer(*this);
  }
  void await_resume() const noexcept {}

 private:
  std::coroutine_handle<> waiter_;
};

}  // namespace

Task<void> sleep_until(u64 deadline_ns) {
  SleepAwaiter sleep{deadline_ns};
  co_await sleep;
}

}  // namespace cowfs::runtime
