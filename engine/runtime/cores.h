// The cores of one engine on a real machine, and the way in for threads that are not cores (FUSE, block export, tests).
//
//   auto cores = Cores::start({.cores = 2});
//   const u64 answer = (*cores)->run(1, [&] { return counter.add(5); });   // counter.add returns Task<u64>
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "engine/base/result.h"
#include "engine/runtime/on.h"
#include "engine/runtime/uring_reactor.h"

namespace cowfs::runtime {

struct CoresSettings {
  u16 cores = 0;                     // 0: one for each allowed processor
  std::vector<u32> processors = {};  // to pin to, dealt in turn; empty: the allowed ones
  bool pin = true;
  ReactorSettings reactor = {};
};

namespace internal {

// Lets one foreign thread wait for one event.
class Parking {
 public:
  void wait();
  void open();  // the object may be gone before this returns

 private:
  std::atomic<u32> open_{0};
};

template <typename T>
struct ForeignCall : Message {
  std::function<Task<T>()> function;
  std::optional<std::conditional_t<std::is_void_v<T>, Empty, T>> value;
  Parking answered;

  static Detached serve(ForeignCall& call) {
    {
      Task<T> task = call.function();
      if constexpr (std::is_void_v<T>) {
        co_await task;
        call.value.emplace();
      } else {
        call.value.emplace(co_await task);
      }
    }
    call.answered.open();
  }
};

}  // namespace internal

class Cores {
 public:
  // Starts the threads. Errors: runtime_ring_unavailable, runtime_thread_unavailable; nothing is left running then.
  static Result<std::unique_ptr<Cores>> start(const CoresSettings& settings);
  ~Cores();

  u16 count() const { return static_cast<u16>(reactors_.size()); }

  // Runs the task that `function` makes on `core` and waits for its result. From foreign threads only, any number at
  // once. `function` is called on the core and lives until the task is done.
  template <typename T>
  T run(CoreIndex core, std::function<Task<T>()> function) {
    internal::ForeignCall<T> call;
    call.function = std::move(function);
    call.deliver = [](Message& message) {
      internal::ForeignCall<T>::serve(static_cast<internal::ForeignCall<T>&>(message));
    };
    post(core, call);
    call.answered.wait();
    if constexpr (!std::is_void_v<T>) return std::move(*call.value);
  }
  template <typename Function>
  auto run(CoreIndex core, Function function) -> typename internal::TaskResult<std::invoke_result_t<Function&>>::Type {
    using T = typename internal::TaskResult<std::invoke_result_t<Function&>>::Type;
    static_assert(internal::TaskResult<std::invoke_result_t<Function&>>::is_task, "the function makes a Task");
    return run<T>(core, std::function<Task<T>()>(std::move(function)));
  }

  // Starts the task that `function` makes on `core` and returns at once; stop() waits for it. Any thread.
  void spawn_on(CoreIndex core, std::function<Task<void>()> function);

  // Waits for spawned tasks, then ends and joins the threads. Precondition: no run() is under way or follows, and
  // everything outside spawn_on() has ended. Called by the destructor if not before. From a foreign thread.
  void stop();

  ReactorCounts counts(CoreIndex core) const { return reactors_[core]->counts(); }

 private:
  explicit Cores(u16 count) : fabric_(count) {}
  void post(CoreIndex core, Message& message);
  Status start_thread(CoreIndex core, const CoresSettings& settings, const std::vector<u32>& processors);
  void abandon();

  Fabric fabric_;
  std::vector<std::unique_ptr<UringReactor>> reactors_;
  std::vector<std::thread> threads_;
  internal::Parking begin_;             // opened when every ring is
  std::atomic<bool> abandoned_{false};  // a ring could not be opened: threads end at once
  std::atomic<u64> spawned_{0};         // tasks ever given to spawn_on
};

}  // namespace cowfs::runtime
