// Costs that shaped this file, measured on a prototype: a message between two polling cores 140 ns a round trip, 20 ns
// in batches; waking a sleeper 20 us with a ring message, 26 us with an eventfd; a system call 135 ns; reading the
// clock 23 ns. Hence: look at the mailboxes every turn, wake only who sleeps, one system call a turn and only when
// there is something to submit or the kernel says that completions wait, the clock every few coroutines.
//
// A sleeper and a sender must not miss each other. The sleeper raises `sleeping_` and then looks at its mailboxes once
// more; the sender writes the mailbox and then looks at `sleeping_`; a full fence between the two on both sides means
// at least one of them sees the other.
#include "engine/runtime/uring_reactor.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "engine/base/assert.h"

#ifndef RWF_DSYNC
#include <linux/fs.h>
#endif
#ifndef FALLOC_FL_PUNCH_HOLE
#include <linux/falloc.h>
#endif

namespace cowfs::runtime {
namespace {

constexpr unsigned ring_entries = 256;         // handed over in one system call
constexpr unsigned completion_entries = 4096;  // at least in_flight_max and a wake from every core
constexpr u64 in_flight_max = 1024;            // more waits here: devices gain nothing from deeper queues
constexpr u64 transfer_bytes_max = 1 * gib;    // of one kernel request; the rest is a continuation
constexpr u32 io_attempts_max = 1000;          // EAGAIN and EINTR
constexpr int coroutines_per_clock_reading = 8;
constexpr u64 ns_per_second = 1'000'000'000;

// In user_data, beside the addresses of IoOperations.
constexpr u64 tag_woken = 1;
constexpr u64 tag_event = 2;
constexpr u64 tag_wake_sent = 3;  // the peer's index stands above these
constexpr u64 tag_mask = 7;
constexpr int tag_bits = 3;
static_assert(alignof(IoOperation) > tag_mask);
constexpr u64 tagged_values_end = u64{1} << (tag_bits + 16);  // no object lives below this address

u64 monotonic_ns() {
  return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1});
}

void relax_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void write_event(int event) {
  const u64 one = 1;
  while (::write(event, &one, sizeof one) < 0) {
    // EAGAIN: the count is at its top, so the reader is woken anyway.
    if (errno == EAGAIN) return;
    assert(errno == EINTR);
  }
}

}  // namespace

UringReactor::UringReactor(CoreIndex core, Fabric& fabric, const ReactorSettings& settings)
    : Reactor(core, fabric.cores()), fabric_(fabric), settings_(settings), is_written_(fabric.cores()) {
  now_ns_ = monotonic_ns();
  fabric.add(core, *this);
}

UringReactor::~UringReactor() {
  if (ring_open_) io_uring_queue_exit(&ring_);
  if (event_ >= 0) ::close(event_);
}

Status UringReactor::open() {
  event_ = ::eventfd(0, EFD_CLOEXEC);
  if (event_ < 0) return Error{Code::runtime_ring_unavailable, static_cast<u64>(errno)};
  // The best way the kernel knows: completions are worked off only when this loop asks for them.
  int result = -EINVAL;
  for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
                               IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0u}) {
    io_uring_params parameters{};
    parameters.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    parameters.cq_entries = completion_entries;
    result = io_uring_queue_init_params(ring_entries, &ring_, &parameters);
    if (result != -EINVAL) break;
  }
  if (result < 0) return Error{Code::runtime_ring_unavailable, static_cast<u64>(-result)};
  ring_open_ = true;
  io_uring_register_ring_fd(&ring_);  // saves a look-up a call; fine without
  // Flushes run on kernel workers, which would be pinned like this thread and wait behind it while it is busy. They may
  // run wherever the process may; fine without.
  cpu_set_t processors;
  if (::sched_getaffinity(::getpid(), sizeof processors, &processors) == 0) {
    io_uring_register_iowq_aff(&ring_, sizeof processors, &processors);
  }
  return {};
}

void UringReactor::loop() {
  assert(ring_open_);
  internal::running_reactor = this;
  while (true) {
    turn();
    if (runnable()) continue;
    if (stopping_ && quiet()) break;
    if (!spin()) sleep();
  }
  internal::running_reactor = nullptr;
  assert(gate_.running() == 0);
  io_uring_unregister_ring_fd(&ring_);
}

void UringReactor::turn() {
  counters_.turns.add();
  now_ns_ = monotonic_ns();
  reap();
  deliver_messages();
  fire_timers();
  run_slice();
  call_hooks();
  push_overflow();
  wake_peers();
  submit_and_reap();
  // A load keeps this thread busy for ever, and the kernel would let it, while the workers that serve its own I/O wait for
  // the processor.
  if (in_flight_ > 0 && more_to_run_) {
    counters_.yields.add();
    ::sched_yield();
  }
}

u64 UringReactor::wall_clock_ns() const {
  if (wall_clock_turn_ns_ != now_ns_) {
    wall_clock_turn_ns_ = now_ns_;
    wall_clock_ns_ =
        static_cast<u64>(std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds{1});
  }
  return wall_clock_ns_;
}

// Messages

void UringReactor::post(CoreIndex to, Message& message) {
  assert(current_reactor() == this && to < cores_);
  Mailbox& mailbox = fabric_.mailbox(core_, to);
  const bool overflowed = mailbox.has_overflow();
  mailbox.push(message);
  if (!overflowed && mailbox.has_overflow()) overflowing_.push_back(to);
  counters_.messages_sent.add();
  if (to == core_ || is_written_[to]) return;
  is_written_[to] = 1;
  written_.push_back(to);
}

void UringReactor::post_foreign(Message& message) {
  Message* newest = foreign_.load(std::memory_order_relaxed);
  do {
    message.next = newest;
  } while (!foreign_.compare_exchange_weak(newest, &message, std::memory_order_seq_cst, std::memory_order_relaxed));
  if (sleeping_.load(std::memory_order_seq_cst) && sleeping_.exchange(false)) write_event(event_);
}

void UringReactor::stop() {
  stop_message_.reactor = this;
  stop_message_.deliver = [](Message& message) { static_cast<StopMessage&>(message).reactor->stopping_ = true; };
  post_foreign(stop_message_);
}

void UringReactor::deliver_messages() {
  std::array<Message*, Mailbox::batch_messages_max> batch;
  for (CoreIndex from = 0; from < cores_; ++from) {
    const u64 count = fabric_.mailbox(from, core_).take(batch);
    if (count == 0) continue;
    counters_.messages_received.add(count);
    for (u64 i = 0; i < count; ++i) batch[i]->deliver(*batch[i]);
  }
  if (foreign_.load(std::memory_order_relaxed) != nullptr) deliver_foreign();
}

void UringReactor::deliver_foreign() {
  Message* newest = foreign_.exchange(nullptr, std::memory_order_acquire);
  Message* oldest = nullptr;
  while (newest != nullptr) {
    Message* next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest != nullptr) {
    Message* next = oldest->next;  // delivering may end the message's life
    counters_.messages_received.add();
    oldest->deliver(*oldest);
    oldest = next;
  }
}

void UringReactor::push_overflow() {
  for (std::size_t i = 0; i < overflowing_.size();) {
    const CoreIndex to = overflowing_[i];
    Mailbox& mailbox = fabric_.mailbox(core_, to);
    if (mailbox.push_overflow() && to != core_ && !is_written_[to]) {
      is_written_[to] = 1;
      written_.push_back(to);
    }
    if (mailbox.has_overflow()) {
      ++i;
    } else {
      overflowing_[i] = overflowing_.back();
      overflowing_.pop_back();
    }
  }
}

void UringReactor::wake_peers() {
  if (written_.empty()) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (const CoreIndex to : written_) {
    is_written_[to] = 0;
    UringReactor& peer = fabric_.reactor(to);
    if (peer.sleeping_.load(std::memory_order_relaxed) && peer.sleeping_.exchange(false)) wake(peer);
  }
  written_.clear();
}

void UringReactor::wake(UringReactor& peer) {
  counters_.wakes_sent.add();
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry == nullptr) {
    write_event(peer.event_);
    return;
  }
  io_uring_prep_msg_ring(entry, peer.ring_.ring_fd, 0, tag_woken, 0);
  io_uring_sqe_set_data64(entry, tag_wake_sent | u64{peer.core_} << tag_bits);
}

// Running

void UringReactor::fire_timers() {
  while (Timer* timer = timers_.pop_due(now_ns_)) timer->fire(*timer);
}

void UringReactor::run_slice() {
  const u64 end_ns = now_ns_ + settings_.slice_ns;
  int until_clock = coroutines_per_clock_reading;
  u64 resumed = 0;
  while (!run_queue_.empty()) {
    run_queue_.pop().resume();
    ++resumed;
    if (--until_clock > 0) continue;
    if (monotonic_ns() >= end_ns) break;
    until_clock = coroutines_per_clock_reading;
  }
  more_to_run_ = !last_queue_.empty() || !run_queue_.empty();
  if (!last_queue_.empty()) {
    last_queue_.pop().resume();
    ++resumed;
  }
  counters_.coroutines_resumed.add(resumed);
}

void UringReactor::at_turn_end(TurnHook& hook) {
  if (hook.armed) return;
  hook.armed = true;
  hook.next = nullptr;
  if (first_hook_ == nullptr) {
    first_hook_ = &hook;
  } else {
    last_hook_->next = &hook;
  }
  last_hook_ = &hook;
}

void UringReactor::call_hooks() {
  TurnHook* hook = std::exchange(first_hook_, nullptr);
  while (hook != nullptr) {
    TurnHook* next = hook->next;
    hook->armed = false;
    hook->call(*hook);
    hook = next;
  }
}

// Idling

bool UringReactor::has_messages() const {
  if (foreign_.load(std::memory_order_seq_cst) != nullptr) return true;
  for (CoreIndex from = 0; from < cores_; ++from) {
    if (!fabric_.mailbox(from, core_).empty()) return true;
  }
  return false;
}

bool UringReactor::runnable() const {
  if (!run_queue_.empty() || !last_queue_.empty() || first_hook_ != nullptr || has_messages()) return true;
  if (overflowing_.empty()) return false;
  // Nothing but messages that the peer has no room for: let it run if it shares our processor.
  std::this_thread::yield();
  return true;
}

bool UringReactor::quiet() const { return in_flight_ == 0 && first_waiting_ == nullptr; }

bool UringReactor::completions_pending() const {
  constexpr unsigned kernel_has_work = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
  return io_uring_cq_ready(&ring_) > 0 || (IO_URING_READ_ONCE(*ring_.sq.kflags) & kernel_has_work) != 0;
}

// True when there is something to do.
bool UringReactor::spin() {
  // A driver that works on our processors (loop) would be delayed while requests are at the devices.
  if (settings_.spin_ns == 0 || in_flight_ > 0) return false;
  const u64 end_ns = monotonic_ns() + settings_.spin_ns;
  while (true) {
    if (has_messages() || completions_pending()) return true;
    const u64 now = monotonic_ns();
    if (!timers_.empty() && timers_.next_deadline_ns() <= now) return true;
    if (now >= end_ns) return false;
    relax_processor();
  }
}

void UringReactor::sleep() {
  if (!event_watched_) watch_event();
  sleeping_.store(true, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!has_messages()) {
    counters_.sleeps.add();
    counters_.ring_calls.add();
    int result = 0;
    if (timers_.empty()) {
      result = io_uring_submit_and_wait(&ring_, 1);
    } else {
      const u64 now = monotonic_ns();
      const u64 deadline = timers_.next_deadline_ns();
      const u64 wait = deadline > now ? deadline - now : 0;
      __kernel_timespec timeout{static_cast<i64>(wait / ns_per_second), static_cast<long long>(wait % ns_per_second)};
      io_uring_cqe* entry = nullptr;
      result = io_uring_submit_and_wait_timeout(&ring_, &entry, 1, &timeout, nullptr);
    }
    assert(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY);
  }
  sleeping_.store(false, std::memory_order_relaxed);
}

// Requests

void UringReactor::watch_event() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry == nullptr) {
    // The queue is full of wakes: hand them over first.
    io_uring_submit(&ring_);
    entry = io_uring_get_sqe(&ring_);
    assert(entry != nullptr);
  }
  io_uring_prep_read(entry, event_, &event_value_, sizeof event_value_, 0);
  io_uring_sqe_set_data64(entry, tag_event);
  event_watched_ = true;
}

void UringReactor::submit(IoOperation& operation) {
  assert(current_reactor() == this);
  operation.result = 0;
  operation.attempts = 0;
  counters_.ios_started.add();
  enqueue(operation);
}

void UringReactor::enqueue(IoOperation& operation) {
  operation.next = nullptr;
  if (first_waiting_ == nullptr) {
    first_waiting_ = &operation;
  } else {
    last_waiting_->next = &operation;
  }
  last_waiting_ = &operation;
}

void UringReactor::prepare_waiting() {
  while (first_waiting_ != nullptr && in_flight_ < in_flight_max) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) return;
    IoOperation& operation = *std::exchange(first_waiting_, first_waiting_->next);
    prepare(*entry, operation);
    io_uring_sqe_set_data(entry, &operation);
    ++in_flight_;
  }
}

void UringReactor::prepare(io_uring_sqe& entry, IoOperation& operation) {
  const u64 done = static_cast<u64>(operation.result);
  const u64 offset = operation.offset + done;
  const auto length = static_cast<unsigned>(std::min(operation.length - done, transfer_bytes_max));
  switch (operation.kind) {
    case IoOperation::Kind::read:
      io_uring_prep_read(&entry, operation.file, operation.data + done, length, offset);
      break;
    case IoOperation::Kind::write:
      io_uring_prep_write(&entry, operation.file, operation.data + done, length, offset);
      if (operation.durable) entry.rw_flags = RWF_DSYNC;
      break;
    case IoOperation::Kind::flush:
      io_uring_prep_fsync(&entry, operation.file, IORING_FSYNC_DATASYNC);
      break;
    case IoOperation::Kind::discard:
      io_uring_prep_fallocate(&entry, operation.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(operation.offset), static_cast<off_t>(operation.length));
      break;
  }
}

void UringReactor::submit_and_reap() {
  do {
    prepare_waiting();
    if (io_uring_sq_ready(&ring_) == 0 && !completions_pending()) return;
    counters_.ring_calls.add();
    // Busy means that completions must be taken first: reap() does, and a later turn submits again.
    const int result = io_uring_submit_and_get_events(&ring_);
    assert(result >= 0 || result == -EBUSY || result == -EAGAIN || result == -EINTR);
    reap();
    if (result < 0) return;
  } while (first_waiting_ != nullptr && in_flight_ < in_flight_max);
}

void UringReactor::reap() {
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* entry = nullptr;
  io_uring_for_each_cqe(&ring_, head, entry) {
    ++count;
    completed(*entry);
  }
  io_uring_cq_advance(&ring_, count);
}

void UringReactor::completed(const io_uring_cqe& entry) {
  const u64 data = entry.user_data;
  if (data >= tagged_values_end) {
    completed(*reinterpret_cast<IoOperation*>(data), entry.res);
  } else if ((data & tag_mask) == tag_event) {
    event_watched_ = false;
  } else if ((data & tag_mask) == tag_wake_sent && entry.res < 0) {
    write_event(fabric_.reactor(static_cast<CoreIndex>(data >> tag_bits)).event_);
  }
}

void UringReactor::completed(IoOperation& operation, i64 result) {
  --in_flight_;
  const bool moves_bytes = operation.kind == IoOperation::Kind::read || operation.kind == IoOperation::Kind::write;
  if (result == -EINTR || result == -EAGAIN) {
    if (++operation.attempts < io_attempts_max) return enqueue(operation);
  }
  if (result < 0) {
    operation.result = result;
  } else if (!moves_bytes) {
    operation.result = static_cast<i64>(operation.length);
  } else {
    operation.result += result;
    const bool more = static_cast<u64>(operation.result) < operation.length;
    if (more && result > 0) return enqueue(operation);  // nothing moved at all: the end of the file
  }
  counters_.ios_completed.add();
  if (operation.observer != nullptr) operation.observer->ended(operation);
  operation.completed(operation);
}

ReactorCounts UringReactor::counts() const {
  return {counters_.turns.value(),         counters_.sleeps.value(),
          counters_.wakes_sent.value(),    counters_.coroutines_resumed.value(),
          counters_.messages_sent.value(), counters_.messages_received.value(),
          counters_.ios_started.value(),   counters_.ios_completed.value(),
          counters_.ring_calls.value(),    counters_.yields.value()};
}

}  // namespace cowfs::runtime
