// The Reactor of real machines: one pinned thread, one io_uring, its own run queue and timers; other cores reach it
// through mailboxes and wake it only when it sleeps.
//
// Made and joined by Cores; nobody else needs this header.
#pragma once
#include <liburing.h>

#include <atomic>
#include <memory>
#include <vector>

#include "engine/base/result.h"
#include "engine/runtime/counter.h"
#include "engine/runtime/mailbox.h"
#include "engine/runtime/run_queue.h"
#include "engine/runtime/sync.h"
#include "engine/runtime/timer_heap.h"

namespace cowfs::runtime {

struct ReactorSettings {
  u64 slice_ns = 20'000;  // how long coroutines run between two looks at the devices
  u64 spin_ns = 20'000;   // how long an idle core, with no request at a device, looks for work before it sleeps
};

// What one core did since it started.
struct ReactorCounts {
  u64 turns = 0;
  u64 sleeps = 0;
  u64 wakes_sent = 0;
  u64 coroutines_resumed = 0;
  u64 messages_sent = 0;
  u64 messages_received = 0;  // from cores and from foreign threads
  u64 ios_started = 0;
  u64 ios_completed = 0;
  u64 ring_calls = 0;  // system calls that submitted or waited
  u64 yields = 0;      // system calls that gave the processor away
};

class UringReactor;

// What the cores of one engine share: a mailbox for each pair, and each other.
class Fabric {
 public:
  explicit Fabric(u16 cores) : cores_(cores), mailboxes_(new Mailbox[std::size_t{cores} * cores]), reactors_(cores) {}
  u16 cores() const { return cores_; }
  Mailbox& mailbox(CoreIndex from, CoreIndex to) { return mailboxes_[std::size_t{to} * cores_ + from]; }
  // Before any loop runs.
  void add(CoreIndex core, UringReactor& reactor) { reactors_[core] = &reactor; }
  UringReactor& reactor(CoreIndex core) { return *reactors_[core]; }

 private:
  u16 cores_;
  std::unique_ptr<Mailbox[]> mailboxes_;
  std::vector<UringReactor*> reactors_;
};

class UringReactor final : public Reactor {
 public:
  UringReactor(CoreIndex core, Fabric& fabric, const ReactorSettings& settings);
  ~UringReactor() override;

  // On the thread that will call loop(). Error runtime_ring_unavailable: the kernel refuses io_uring.
  Status open();
  // Runs turns until stop() was asked for and nothing is left to do.
  void loop();

  // Any thread, after open(): delivers `message` on this core, in order per thread.
  void post_foreign(Message& message);
  // Any thread, once: ends loop() as soon as nothing is ready, at a device or in a mailbox. Armed timers do not count.
  void stop();
  // This core only: tasks that belong to no one else; loop() must not end before they did.
  Gate& gate() { return gate_; }
  ReactorCounts counts() const;

  u64 wall_clock_ns() const override;
  void schedule(std::coroutine_handle<> coroutine) override { run_queue_.push(coroutine); }
  void schedule_last(std::coroutine_handle<> coroutine) override { last_queue_.push(coroutine); }
  bool is_busy() const override { return !run_queue_.empty() || !last_queue_.empty(); }
  void post(CoreIndex to, Message& message) override;
  void at_turn_end(TurnHook& hook) override;
  void start_timer(Timer& timer) override { timers_.start(timer); }
  void cancel_timer(Timer& timer) override { timers_.cancel(timer); }
  void submit(IoOperation& operation) override;

 private:
  struct StopMessage : Message {
    UringReactor* reactor = nullptr;
  };
  struct Counters {
    Counter turns, sleeps, wakes_sent, coroutines_resumed, messages_sent, messages_received, ios_started, ios_completed,
        ring_calls, yields;
  };

  void turn();
  void deliver_messages();
  void deliver_foreign();
  void push_overflow();
  void fire_timers();
  void run_slice();
  void call_hooks();
  void wake_peers();
  void wake(UringReactor& peer);

  bool has_messages() const;
  bool runnable() const;
  bool quiet() const;
  bool completions_pending() const;
  bool spin();
  void sleep();

  void enqueue(IoOperation& operation);
  void prepare_waiting();
  void prepare(io_uring_sqe& entry, IoOperation& operation);
  void watch_event();
  void submit_and_reap();
  void reap();
  void completed(const io_uring_cqe& entry);
  void completed(IoOperation& operation, i64 result);

  Fabric& fabric_;
  ReactorSettings settings_;
  Counters counters_;

  RunQueue run_queue_;
  RunQueue last_queue_;  // schedule_last()
  bool more_to_run_ = false;  // after this turn's slice
  mutable u64 wall_clock_ns_ = 0;
  mutable u64 wall_clock_turn_ns_ = 0;  // now_ns_ when it was read
  TimerHeap timers_;
  TurnHook* first_hook_ = nullptr;
  TurnHook* last_hook_ = nullptr;
  Gate gate_;

  std::vector<CoreIndex> written_;      // peers that got messages this turn
  std::vector<char> is_written_;        // by core
  std::vector<CoreIndex> overflowing_;  // peers whose ring is full
  bool stopping_ = false;
  StopMessage stop_message_;

  io_uring ring_{};
  bool ring_open_ = false;
  bool event_watched_ = false;
  int event_ = -1;                        // foreign threads, and cores whose kernel has no ring messages, write here
  u64 event_value_ = 0;                   // the kernel reads into it
  u64 in_flight_ = 0;                     // requests at the devices
  IoOperation* first_waiting_ = nullptr;  // submitted, not handed to the kernel yet
  IoOperation* last_waiting_ = nullptr;

  // Written by other threads, so on lines of their own.
  alignas(64) std::atomic<bool> sleeping_{false};
  alignas(64) std::atomic<Message*> foreign_{nullptr};  // newest first
};

}  // namespace cowfs::runtime
