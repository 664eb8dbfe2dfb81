// Many cores in one thread on a virtual clock. One seeded generator chooses which core does what next: resume a
// coroutine, take a message, fire a due timer, or end its turn. Time stands almost still while anything is ready and
// jumps to the next timer when nothing is. The same seed and program give the same history, bit for bit.
//
//   SimCores cores({.cores = 3, .seed = seed});
//   const u64 answer = cores.run(1, [&] { return counter.add(5); });
#pragma once
#include <coroutine>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/base/random.h"
#include "engine/runtime/on.h"
#include "engine/runtime/sync.h"
#include "engine/runtime/timer_heap.h"

namespace cowfs::runtime {

struct SimSettings {
  u16 cores = 2;
  u64 seed = 1;
  bool shuffle_coroutines = true;  // false: ready coroutines of a core run first in first out, as on real cores
  u64 step_ns = 100;               // what each step adds to the clock, so that polling loops see time pass
  u64 steps_max = 1'000'000'000;   // more in one run() is a loop without end
  bool clock_jumps = false;  // each millisecond the wall clock shows another time: 1970, yesterday, the end of time
};

class SimCores;

namespace internal {

// What a core can do next.
enum class SimEvent : u8 { coroutine, message, timer, turn_end };
constexpr std::size_t sim_event_count = 4;

class SimReactor final : public Reactor {
 public:
  SimReactor(SimCores& cores, CoreIndex core, u16 count) : Reactor(core, count), cores_of_(cores), inboxes_(count) {}

  u64 wall_clock_ns() const override;
  void schedule(std::coroutine_handle<> coroutine) override { runnable_.push_back(coroutine); }
  void schedule_last(std::coroutine_handle<> coroutine) override { runnable_.push_back(coroutine); }
  bool is_busy() const override { return !runnable_.empty(); }
  void post(CoreIndex to, Message& message) override;
  void at_turn_end(TurnHook& hook) override;
  void start_timer(Timer& timer) override { timers_.start(timer); }
  void cancel_timer(Timer& timer) override { timers_.cancel(timer); }
  void submit(IoOperation& operation) override;

 private:
  friend class cowfs::runtime::SimCores;

  bool ready(SimEvent event) const;
  bool anything_ready() const;
  void set_now(u64 now) { now_ns_ = now; }
  // Each does one thing that is ready; returns what was chosen, for the trace.
  u64 resume_one(Random& random, bool shuffle);
  u64 deliver_one(Random& random);
  u64 fire_one();
  u64 end_turn();

  SimCores& cores_of_;
  std::deque<std::coroutine_handle<>> runnable_;
  std::vector<std::deque<Message*>> inboxes_;  // by sender
  u64 message_count_ = 0;
  TimerHeap timers_;
  std::deque<TurnHook*> hooks_;
  Gate gate_;
};

// The outermost coroutine of a run; destroyed by its owner.
class SimRoot {
 public:
  struct promise_type {
    SimRoot get_return_object() { return SimRoot{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept {
      assertion_failed("no exception leaves a task", __FILE__, __LINE__);
    }
  };
  std::coroutine_handle<> handle() const { return handle_; }

 private:
  explicit SimRoot(std::coroutine_handle<> handle) : handle_(handle) {}
  std::coroutine_handle<> handle_;
};

template <typename T>
SimRoot drive(Task<T> task, std::optional<std::conditional_t<std::is_void_v<T>, Empty, T>>& value) {
  if constexpr (std::is_void_v<T>) {
    co_await task;
    value.emplace();
  } else {
    value.emplace(co_await task);
  }
}

}  // namespace internal

// All engine objects must be gone before the SimCores they ran on.
class SimCores {
 public:
  explicit SimCores(const SimSettings& settings);
  ~SimCores();
  SimCores(const SimCores&) = delete;
  SimCores& operator=(const SimCores&) = delete;

  u16 count() const { return settings_.cores; }
  u64 seed() const { return settings_.seed; }
  u64 now_ns() const { return now_ns_; }
  u64 steps() const { return steps_; }
  // How often the core has had nothing left to do: a real one then hands all its requests to the kernel at once.
  u64 pauses(CoreIndex core) const { return pauses_[core]; }
  // Of all choices so far: equal for equal histories.
  u64 trace_hash() const { return trace_hash_; }
  // Mixes a fact of the program into the trace, so that a difference in it shows.
  void trace(u64 fact);

  // Runs `task` on `core` to its end, and whatever else the cores do meanwhile. When it can never end, because nothing
  // is ready and no timer is armed, aborts and prints the seed.
  template <typename T>
  T run(CoreIndex core, Task<T> task) {
    auto value = run_to_end(core, std::move(task));
    if (!value) stuck();
    if constexpr (!std::is_void_v<T>) return std::move(*value);
  }
  template <typename Function>
  auto run(CoreIndex core, Function function) -> typename internal::TaskResult<std::invoke_result_t<Function&>>::Type {
    return run(core, called(core, function));
  }
  // The same, but nothing (for void: false) when the task can never end. Its frames are then left as they are, never
  // destroyed: other frames may point into them.
  template <typename T>
  auto try_run(CoreIndex core, Task<T> task) {
    auto value = run_to_end(core, std::move(task));
    if constexpr (std::is_void_v<T>) {
      return value.has_value();
    } else {
      return value;
    }
  }
  // Starts the task that `function` makes on `core`; it runs while other calls step.
  void spawn_on(CoreIndex core, std::function<Task<void>()> function);
  // Steps until nothing is ready and no timer is armed.
  void settle();
  // Does one thing. False when there is nothing to do, now or later.
  bool step();

 private:
  friend class internal::SimReactor;

  // Makes a core the current one for a while.
  class Enter {
   public:
    Enter(SimCores& cores, CoreIndex core);
    ~Enter();
    Enter(const Enter&) = delete;
    Enter& operator=(const Enter&) = delete;

   private:
    Reactor* before_;
  };

  template <typename Function>
  auto called(CoreIndex core, Function& function) {
    const Enter entered{*this, core};
    return function();
  }

  template <typename T>
  auto run_to_end(CoreIndex core, Task<T> task) {
    std::optional<std::conditional_t<std::is_void_v<T>, internal::Empty, T>> value;
    const internal::SimRoot root = internal::drive<T>(std::move(task), value);
    if (step_until_done(core, root.handle())) {
      const Enter entered{*this, core};
      root.handle().destroy();
    } else {
      abandon(root.handle());
    }
    return value;
  }

  bool step_until_done(CoreIndex core, std::coroutine_handle<> root);
  static void abandon(std::coroutine_handle<> root);
  bool advance_clock();
  CoreIndex choose_core();
  internal::SimEvent choose_event(const internal::SimReactor& reactor);
  [[noreturn]] void stuck() const;

  SimSettings settings_;
  Random random_;
  u64 now_ns_ = 0;
  u64 steps_ = 0;
  u64 trace_hash_ = 0;
  std::vector<std::unique_ptr<internal::SimReactor>> reactors_;
  std::vector<u64> core_weights_;
  std::vector<u64> pauses_;
  u64 event_weights_[internal::sim_event_count] = {};
  std::vector<CoreIndex> ready_;  // scratch of choose_core
};

}  // namespace cowfs::runtime
