// A block device: reads and writes in multiples of block_bytes at multiples of block_bytes, from block-aligned memory.
// Completed writes are durable only after a flush that started later, or when written with `durable`.
// One Device object serves all cores; each call completes on the core that made it.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/base/latency.h"
#include "engine/base/result.h"
#include "engine/device/patience.h"
#include "engine/runtime/reactor.h"
#include "engine/runtime/task.h"

namespace cowfs::device {

using runtime::IoOperation;

class Device;

// Awaits one request. Errors: device_io_failed (value: errno; ENXIO when the range is not inside the device),
// device_short_io; both name the place. ETIMEDOUT, ENODEV: the device has failed (see set_time_limit).
class IoAwaiter : private IoOperation, private Awaited {
 public:
  IoAwaiter(Device& device, IoOperation::Kind kind, std::byte* data, u64 offset, u64 length, bool durable, u16 copy);
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter);
  Status await_resume() const;

 private:
  friend class Device;
  void answered();

  Device& device_;
};

// What was asked of a device since it was opened.
struct DeviceCounts {
  u64 reads = 0;
  u64 writes = 0;
  u64 flushes = 0;
  u64 discards = 0;
  u64 read_bytes = 0;
  u64 written_bytes = 0;
  u64 discarded_bytes = 0;
  u64 errors = 0;           // requests that it failed
  u64 damaged_copies = 0;   // found not to be what they should
  u64 repaired_copies = 0;  // overwritten with a good one
};

// Counts for all cores at once.
class DeviceCounters {
 public:
  void count(const IoOperation& operation);
  void add_latency(IoOperation::Kind kind, u64 ns);
  void count_error() { add_one(errors_); }
  void count_damaged_copy() { add_one(damaged_copies_); }
  void count_repaired_copy() { add_one(repaired_copies_); }
  DeviceCounts counts() const;
  Totals totals(IoOperation::Kind kind) const;

 private:
  static void add_one(std::atomic<u64>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

  static constexpr std::size_t kinds = 4;
  std::array<std::array<std::atomic<u64>, latency_buckets>, kinds> latencies_{};
  std::atomic<u64> reads_{0}, writes_{0}, flushes_{0}, discards_{0}, read_bytes_{0}, written_bytes_{0},
      discarded_bytes_{0}, errors_{0}, damaged_copies_{0}, repaired_copies_{0};
};

class Device {
 public:
  virtual ~Device() = default;

  virtual Bytes capacity() const = 0;
  virtual std::string describe() const = 0;  // path or kind, for people
  virtual bool discards() const = 0;         // discard does something
  // That it keeps on different devices of everything that is not in stripes; see copies.h.
  virtual u8 copies() const { return 1; }
  virtual bool may_heal() const { return false; }  // a copy that is wrong may be overwritten with one that is good
  // The devices that this one is made of, by their numbers; null: missing.
  virtual std::vector<Device*> members() { return {this}; }
  // Where a copy lies: on which of the members; null when that is missing, or what is on it does not count.
  struct CopyPlace {
    Device* member = nullptr;
    u64 offset_bytes = 0;
  };
  virtual CopyPlace copy_place(u64 offset_bytes, u8 /*copy*/) { return {this, offset_bytes}; }
  // What lies here is protected by an erasure code. There, what is new is written in whole stripes of so many blocks, counted
  // from the start of its bucket, or up to its end; copy 1 is what was written, and each reconstruction is one more to read.
  virtual bool is_striped(u64 /*offset_bytes*/) const { return false; }
  u8 copies_at(u64 offset_bytes) const { return is_striped(offset_bytes) ? 1 : copies(); }
  virtual u32 stripe_blocks() const { return 1; }
  virtual u32 parity_blocks() const { return 0; }  // of a stripe, beside them
  virtual u16 reconstructions() const { return 0; }
  // In stripes, not all of which may have been flushed: their parity fits these blocks afterwards. `verified`: by offset in bytes,
  // what is to be there.
  using VerifiedBlocks = std::map<u64, std::vector<std::byte>>;
  virtual runtime::Task<Status> restore_parity(const VerifiedBlocks& verified);
  // Whole stripes of one bucket that nobody writes, and their parity. `check`: of a block, what is wrong with it. Of a stripe with
  // a block that is wrong or cannot be read nothing more is known; of the others, parity that does not fit, or cannot be read, is
  // told, and overwritten if `mend` and the device may heal: then what `check` takes for right must be all that anybody needs, also
  // after a crash.
  using CheckBlock = std::function<Status(u64 offset_bytes, ByteSpan block)>;
  struct WrongParity {
    u64 stripe_offset_bytes = 0;
    CopyPlace place;
    Error error;
  };
  struct StripesSeen {
    u64 bytes = 0;              // read
    std::vector<u64> suspects;  // their offsets: of stripes of which a block is wrong
    std::vector<WrongParity> wrong_parity;
    bool repaired = false;      // all of that
  };
  virtual runtime::Task<StripesSeen> scrub_stripes(u64 offset_bytes, u64 bytes, CheckBlock check, bool mend);
  // Starts `operation`; calls operation.completed on this core when it is done. Short transfers are continued by the
  // implementation; result is the whole length or -errno.
  virtual void start(IoOperation& operation) = 0;

  // A request that is not answered within `limit_ns`, and an eighth more, fails the device: `failed` is called, once, on the
  // core that waits, with device_timed_out; what is asked from then on is answered with ETIMEDOUT. The request itself goes
  // on waiting, since its memory is the device's until it answers. 0, as at first: no limit. ENODEV fails a device
  // with one copy at once: when it comes back its content may be another one. Of several copies one may be missing.
  // On a core. Precondition: no request waits, and no other core makes requests meanwhile.
  using FailureObserver = std::function<void(const Error&)>;
  virtual void set_time_limit(u64 limit_ns, FailureObserver failed);
  // On each core, before what `failed` knows, or the device, is gone. Resumes when nothing waits for an answer of the device to
  // a request that was given up.
  virtual runtime::Task<void> end_time_limit();
  bool has_failed() const { return failed_.load(std::memory_order_relaxed) != 0; }

  // The device's number in the filesystem; errors and pointers name it.
  void set_index(u16 index) { index_ = index; }
  u16 index() const { return index_; }
  // Of the device itself, wherever it is used; 0: not known.
  void set_id(u64 id) { id_ = id; }
  u64 id() const { return id_; }
  DeviceCounts counts() const { return counters_.counts(); }
  DeviceCounters& counters() { return counters_; }
  // Latencies are by the clocks of the cores, which are read once a turn.
  Totals totals(IoOperation::Kind kind) const { return counters_.totals(kind); }

  // `copy`: see IoOperation.
  IoAwaiter read(u64 offset_bytes, MutableByteSpan into, u16 copy = 0) {
    return {*this, IoOperation::Kind::read, into.data(), offset_bytes, into.size(), false, copy};
  }
  IoAwaiter write(u64 offset_bytes, ByteSpan from, bool durable = false, u16 copy = 0) {
    return {*this, IoOperation::Kind::write, const_cast<std::byte*>(from.data()), offset_bytes, from.size(), durable, copy};
  }
  IoAwaiter flush() { return {*this, IoOperation::Kind::flush, nullptr, 0, 0, false, 0}; }
  IoAwaiter discard(u64 offset_bytes, u64 length_bytes) {
    return {*this, IoOperation::Kind::discard, nullptr, offset_bytes, length_bytes, false, 0};
  }

 protected:
  // From now on whatever is asked is answered with this errno; who set the time limit hears of it.
  void fail(int number, const Error& error);

  DeviceCounters counters_;

 private:
  friend class IoAwaiter;
  Patience* patience_here();
  static void overdue(Awaited& request, u64 waited_ns);

  u16 index_ = 0;
  u64 id_ = 0;
  std::vector<Patience> patience_;  // by core; none: no limit
  FailureObserver on_failure_;
  std::atomic<int> failed_{0};  // errno of what is asked then
};

}  // namespace cowfs::device
