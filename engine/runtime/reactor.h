// One core's event loop. All engine code runs on a Reactor and on nothing else, so the same code runs on pinned threads
// with io_uring (UringReactor) and, for many cores in one thread under a seed, in the simulator (SimReactor).
//
// One turn: deliver messages, run ready coroutines for about 20 us, call the turn-end hooks (which form batches),
// submit I/O, reap completions; when nothing is runnable, spin briefly and then sleep.
//
// Everything here is called on the reactor's own core, except post().
#pragma once
#include <coroutine>

#include "engine/base/types.h"

namespace cowfs::runtime {

using CoreIndex = u16;

// Something another core asked this core to do. The sender owns it until deliver() was called; it usually lives in the
// coroutine frame that waits for the answer.
struct Message {
  void (*deliver)(Message&) = nullptr;
  Message* next = nullptr;
};

// One-shot: called once at the end of the turn in which it was armed. Arming an armed hook changes nothing.
struct TurnHook {
  void (*call)(TurnHook&) = nullptr;
  TurnHook* next = nullptr;
  bool armed = false;
};

// One-shot: called at or after `deadline_ns`. The owner keeps it alive until it fired or was cancelled.
struct Timer {
  void (*fire)(Timer&) = nullptr;
  u64 deadline_ns = 0;
  u64 sequence = 0;    // the reactor's: orders equal deadlines
  u64 heap_place = 0;  // the reactor's
  bool armed = false;
};

struct IoOperation;

// Hears of the end of requests to a device before those do who wait for them, on the submitting core.
class IoObserver {
 public:
  virtual void ended(IoOperation& operation) = 0;

 protected:
  ~IoObserver() = default;
};

// One device request, alive in the frame of the coroutine that waits for it.
struct IoOperation {
  enum class Kind : u8 { read, write, flush, discard };
  Kind kind = Kind::read;
  bool durable = false;  // write: on the medium when it completes (FUA or the like)
  bool abandoned = false;  // write: nobody relies on it any more, and its memory may change
  u16 copy = 0;          // of a device that keeps several: this one only, counted from 1; 0: a read chooses, a write is of all
  int file = -1;
  std::byte* data = nullptr;
  u64 offset = 0;
  u64 length = 0;
  i64 result = 0;                             // bytes moved, or -errno
  void (*completed)(IoOperation&) = nullptr;  // called on the submitting core
  std::coroutine_handle<> waiter;
  IoObserver* observer = nullptr;  // the device's
  u64 note = 0;                    // the observer's
  IoOperation* next = nullptr;  // the reactor's
  u32 attempts = 0;             // the reactor's: how often the kernel asked to try again
};

class Reactor {
 public:
  Reactor(CoreIndex core, u16 cores) : core_(core), cores_(cores) {}
  virtual ~Reactor() = default;
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  CoreIndex core() const { return core_; }
  u16 cores() const { return cores_; }

  // Monotonic; read once a turn, so it stands still while a coroutine runs.
  u64 now_ns() const { return now_ns_; }
  // Wall-clock time for timestamps: nanoseconds since 1970, read once a turn, never used to order anything.
  virtual u64 wall_clock_ns() const = 0;

  // Resumes `coroutine` in a later turn slice of this core.
  virtual void schedule(std::coroutine_handle<> coroutine) = 0;
  // The same, but behind everything else that is ready, one of these a turn: for work without end, such as a load, which
  // gives way after about a turn's time so that what others wait for (commits, I/O) is not kept waiting.
  virtual void schedule_last(std::coroutine_handle<> coroutine) = 0;
  // Whether coroutines are ready besides the one that asks.
  virtual bool is_busy() const = 0;
  // Delivers `message` on core `to`, in order per pair of cores. May be called on this core only (foreign threads use
  // Cores).
  virtual void post(CoreIndex to, Message& message) = 0;
  virtual void at_turn_end(TurnHook& hook) = 0;
  virtual void start_timer(Timer& timer) = 0;
  virtual void cancel_timer(Timer& timer) = 0;
  // A request to a file descriptor of a real device; SimReactor has none and asserts.
  virtual void submit(IoOperation& operation) = 0;

 protected:
  CoreIndex core_;
  u16 cores_;
  u64 now_ns_ = 0;
};

namespace internal {
inline constinit thread_local Reactor* running_reactor = nullptr;  // constinit: no initialisation wrapper on each use
}

// The reactor whose turn this thread is running; null on a foreign thread.
inline Reactor* current_reactor() { return internal::running_reactor; }
inline Reactor& this_reactor() { return *current_reactor(); }

}  // namespace cowfs::runtime
