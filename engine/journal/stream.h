// One core's part of the journal: its current epoch, the records it appended, and who waits for them to be durable.
//
// Operations use it in this order, all on the stream's own core:
//   prepare:  co_await reserve(bytes)                      room for every record of the apply
//   apply:    append(...) as often as needed, no await     the records belong to current()
//             unreserve(what was not used)
//   fsync:    co_await commit(epoch of the apply)
// An operation on two cores holds both at one epoch while it applies: hold_open() on its first core, then
// hold_at_least(that epoch) on the other. When the other answers a later epoch, the first hold is dropped (drop before
// awaiting, or the close waits for ever) and hold_at_least(later) is asked there. Under a hold nothing is awaited but
// these and the message that applies on the other core.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "engine/journal/attendance.h"
#include "engine/journal/layout.h"
#include "engine/runtime/sync.h"

namespace cowfs::journal {

using format::Key;
using format::TreeId;
using format::UpdateKind;
using runtime::CoreIndex;

class Journal;
class Stream;

// Implemented above this room, one for each core; called on that core, never from inside append() or a hold's release.
class EpochObserver {
 public:
  virtual ~EpochObserver() = default;
  // This core leaves `epoch`, in which it took part: at this moment its memory state is exactly history up to and
  // including `epoch`.
  virtual void epoch_sealed(Epoch epoch) = 0;
  // Everything up to and including `epoch` is durable, on every core. Told of epochs in which this core took part, or
  // whose commit it asked for; of others perhaps.
  virtual void epoch_durable(Epoch epoch) = 0;
};

// Implemented above this room; called on core `core`, as above.
class ReclaimTarget {
 public:
  virtual ~ReclaimTarget() = default;
  // The oldest epoch whose records some slice of this core still needs for recovery; Epoch{~0ull} when none.
  // Asked right after epoch_sealed. It never goes back below what was told before.
  virtual Epoch oldest_needed(CoreIndex core) = 0;
  // The journal is more than half full: slices that need epochs up to `up_to` should checkpoint. May repeat.
  virtual void checkpoint_wanted(Epoch up_to) = 0;
};

struct CoreHooks {
  EpochObserver* observer = nullptr;
  ReclaimTarget* reclaim = nullptr;
};

// Keeps one core in its epoch. Released on the core that made it.
class EpochHold {
 public:
  EpochHold() = default;
  EpochHold(EpochHold&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)), epoch_(other.epoch_) {}
  EpochHold& operator=(EpochHold&& other) noexcept {
    if (this != &other) {
      release();
      stream_ = std::exchange(other.stream_, nullptr);
      epoch_ = other.epoch_;
    }
    return *this;
  }
  ~EpochHold() { release(); }
  void release();
  bool held() const { return stream_ != nullptr; }
  Epoch epoch() const { return epoch_; }

 private:
  friend class Stream;
  EpochHold(Stream& stream, Epoch epoch) : stream_(&stream), epoch_(epoch) {}
  Stream* stream_ = nullptr;
  Epoch epoch_;
};

// Who asks for room: `reclaim` may use the last part of it, so that checkpoints move when everyone else waits.
enum class Urgency : u8 { normal, reclaim };

constexpr u64 entry_bytes_max = 256 * kib;        // an entry this long is written before its epoch closes
constexpr u64 reservation_bytes_max = 128 * kib;  // of one reserve()
constexpr u64 pending_bytes_max = 16 * mib;       // sealed and not written yet; more makes reserve() wait

constexpr u64 record_bytes(u64 value_bytes) { return sizeof(format::RecordHeader) + value_bytes; }

struct StreamCounters {
  u64 records = 0;
  u64 record_bytes = 0;
  u64 entries = 0;
  u64 entry_blocks = 0;
  u64 reserve_waits = 0;
};

class Stream {
 public:
  Stream(Journal& journal, CoreIndex core, const CoreHooks& hooks, Epoch first);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // The epoch of an apply made now. From now on this core takes part in it: see attendance.h.
  Epoch current() {
    if (!attends_) attend();
    return current_;
  }
  // The next close asks this core what history it still needs.
  void take_part() { (void)current(); }
  // Everything up to it is durable on every core, perhaps more.
  Epoch durable() const { return durable_; }

  // Adds one record to the current epoch. Precondition: its record_bytes() are reserved. Cannot fail; once the journal
  // is broken the record is dropped, and commit() says so. Value at most format::node_value_bytes_max bytes.
  void append(u16 slice, TreeId tree, UpdateKind kind, const Key& key, ByteSpan value);

  // Room for `bytes` of records (sum of record_bytes()), at most reservation_bytes_max. append() uses it up;
  // unreserve() gives the rest back. reserve() waits while the journal is full, having asked for checkpoints.
  // Error journal_failed: the journal is broken; nothing was reserved.
  bool try_reserve(u64 bytes, Urgency urgency = Urgency::normal);
  Task<Status> reserve(u64 bytes, Urgency urgency = Urgency::normal);
  void unreserve(u64 bytes);

  // This core stays in its epoch while the hold lives. hold() never waits. hold_open() waits while a close is pending,
  // so that a flow of operations cannot put it off for ever. hold_at_least() waits only until this core reached
  // `epoch`.
  EpochHold hold();
  Task<EpochHold> hold_open();
  Task<EpochHold> hold_at_least(Epoch epoch);
  // Resumes when current() >= epoch. Precondition (also of hold_at_least): some core reached it already.
  Task<void> reach(Epoch epoch);

  // OK: everything up to and including `epoch` is durable. Closes the epoch if nobody did yet; callers share closes.
  // Must not be awaited under a hold. Errors: the device error that broke the journal; journal_failed afterwards.
  Task<Status> commit(Epoch epoch);

  // Asks for a close of `epoch` and does not wait for it.
  void want_commit(Epoch epoch);

  // A write of data begins that keys of the current epoch may name, and ends. The epoch is committed only when it ended.
  // A status that is no success breaks the journal.
  Epoch write_began();
  void write_ended(Epoch epoch, const Status& status);

  // A device does not answer, or memory contradicts itself. Nothing more becomes durable: commit() answers `error` from now on.
  void stop(const Error& error);

  bool broken() const { return failure_.has_value(); }
  CoreIndex core() const { return core_; }
  const StreamCounters& counters() const { return counters_; }

 private:
  friend class Journal;
  friend class EpochHold;

  struct Entry;
  struct CommitAwaiter;
  struct Waiter {
    Epoch epoch;
    std::coroutine_handle<> handle;
  };
  struct Retired {
    u64 bucket = 0;
    Epoch newest;
  };
  // Why a bucket is asked for: to have one ahead, or because a reserve() waits for it.
  enum class Hunger : u8 { none, ahead, blocked, urgent };
  struct Sealed {
    format::EntryPointer tail{};
    Epoch oldest_needed;
    u64 verification_bytes = 0;  // of the epoch's records: see verify.h
    bool written = false;        // already: entries, and data that they name
  };

  // The journal's side: seal() leaves the epoch and starts to write its entries, written() waits for what is under way.
  Task<Sealed> seal(Epoch epoch);
  Task<void> written();
  void became_durable(Epoch epoch, bool pressed);
  void fail(const Error& error);
  void add_bucket(u64 bucket) { next_buckets_.push_back(bucket); }  // at the start
  Task<void> drained();

  void attend();
  Status failed() const;
  u64 free_bytes() const;
  bool has_room(u64 bytes, Urgency urgency) const;
  Hunger hunger() const;
  void wake_commit_waiters();
  std::unique_ptr<Entry> take_entry();
  void open_entry();
  void seal_open_entry();
  bool advance_bucket();
  void lose_room();
  bool place(Entry& entry);
  void pump();
  void finish_header(Entry& entry);
  void refill();
  Task<void> write(std::unique_ptr<Entry> entry);
  Task<void> exchange_buckets();
  Task<void> announce_dirty();
  Task<void> ask_close(Epoch epoch);
  Task<void> report(Error error);

  Journal& journal_;
  const CoreIndex core_;
  CoreHooks hooks_;

  Attendance attendance_;
  bool attends_ = false;
  Epoch current_;  // stale while it does not attend
  Epoch durable_;
  Epoch asked_;  // a close of it was asked for
  u64 holds_ = 0;
  bool closing_ = false;
  bool announced_ = false;  // core 0 knows that the current epoch has records
  std::optional<Error> failure_;

  u64 verification_bytes_ = 0;  // of the current epoch
  u64 reserved_bytes_ = 0;
  u64 pending_bytes_ = 0;  // of sealed entries, not written
  std::unique_ptr<Entry> open_;
  std::deque<std::unique_ptr<Entry>> sealed_;  // without a place yet
  std::vector<std::unique_ptr<Entry>> spare_;
  u64 unwritten_closed_ = 0;  // entries and data of epochs before current_ that are sealed or being written
  u64 unwritten_current_ = 0;

  bool has_bucket_ = false;
  u64 bucket_ = 0;
  u64 bucket_block_ = 0;  // next free block in it
  Epoch bucket_newest_;
  std::deque<u64> next_buckets_;
  std::vector<Retired> retired_;
  bool exchanging_ = false;
  u64 blocked_[2] = {0, 0};        // who waits in reserve(), by Urgency
  Hunger refused_ = Hunger::none;  // core 0 had no bucket for this; asked again after the next commit, or when hungrier

  format::EntryPointer tail_{};         // newest entry
  format::EntryPointer closed_tail_{};  // newest entry of an epoch before current_
  u64 sequence_ = 0;
  Epoch told_oldest_;

  std::vector<Waiter> commit_waiters_;
  runtime::WaitList room_;
  runtime::WaitList unheld_;
  runtime::WaitList moved_;  // current_ grew
  runtime::WaitList settled_;
  runtime::Gate gate_;
  StreamCounters counters_;
};

inline void EpochHold::release() {
  if (stream_ == nullptr) return;
  Stream& stream = *std::exchange(stream_, nullptr);
  assert(stream.holds_ > 0);
  if (--stream.holds_ == 0 && stream.closing_) stream.unheld_.wake_all();
}

}  // namespace cowfs::journal
