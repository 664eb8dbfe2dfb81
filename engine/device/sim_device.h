// A device for the simulator: it answers late and out of order, keeps apart what is durable and what is only in its
// cache, fails on request, and shows what a power cut at this moment may leave behind. Deterministic: every choice
// comes from its seed. Runs on SimCores; destroy it before them.
//
// What it promises is what real devices promise and nothing more: a write unit is stored whole or not at all; a flush
// makes every write durable that completed before the flush was started; a durable write is durable when it completes.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/base/random.h"
#include "engine/device/device.h"
#include "engine/device/image.h"
#include "engine/device/write_through.h"

namespace cowfs::device {

struct SimDeviceSettings {
  u64 seed = 1;
  u64 unit_bytes = 512;  // written whole or not at all: 512 or 4096
  u64 read_ns_min = 10'000, read_ns_max = 100'000;
  u64 write_ns_min = 10'000, write_ns_max = 200'000;
  u64 flush_ns_min = 50'000, flush_ns_max = 500'000;
  u64 slow_one_in = 0;  // this share of requests takes 100 times as long; 0: none
  u64 hang_ns = 10'000'000'000;  // how long a request hangs that does
  bool write_through = false;  // as real block devices are used: see WriteThrough
  // After a power cut requests fail with ENODEV; with this they never complete, and tasks that wait are stuck.
  bool hangs_after_power_cut = false;
};

// Counts a fault down; true at its turn, and ever after when it is there for good.
inline bool strikes(u64& countdown, bool for_good = false) {
  if (for_good && countdown == 1) return true;
  return countdown > 0 && --countdown == 0;
}

// When to fail. Each number counts requests of its kind from the moment the faults are set: 1 is the next one, 0 is
// never.
struct SimFaults {
  u64 read_error_at = 0;         // EIO
  u64 write_error_at = 0;        // EIO; any part may have been stored
  u64 flush_error_at = 0;        // EIO; what was not durable may never become so
  u64 short_read_at = 0;         // answered with fewer bytes than asked for, the rest being noise
  u64 short_write_at = 0;        // the same; what is beyond them is as it was
  u64 lost_write_at = 0;         // acknowledged, not stored
  u64 lost_flush_at = 0;         // acknowledged, nothing made durable
  u64 misdirected_write_at = 0;  // acknowledged, stored at another block
  u64 misdirected_read_at = 0;   // another block's bytes
  u64 flipped_write_at = 0;      // one bit changes on the way
  u64 flipped_read_at = 0;
  u64 hang_at = 0;       // counts every request; that one is answered after hang_ns
  u64 power_cut_at = 0;  // counts every request; that one is under way when the power goes
  u64 vanish_at = 0;     // counts every request; ENODEV from there on, for what is under way too
  u64 remember_at = 0;   // counts flushes; what is durable then is what the device may come back with
  u64 revert_at = 0;     // counts every request; there the device is as remembered, and says nothing
  bool for_good = false;  // errors: of every request of that kind from there on
};

// One write that a power cut may lose, in the order of completion; those under way come last.
struct PendingWrite {
  u64 offset = 0;
  u64 length = 0;
  bool completed = false;
};

class SimDevice final : public Device {
 public:
  SimDevice(Bytes capacity, const SimDeviceSettings& settings) : SimDevice(Image{capacity.value}, settings) {}
  // Starts with what `image` holds, all of it durable.
  SimDevice(Image image, const SimDeviceSettings& settings);
  ~SimDevice() override;
  SimDevice(const SimDevice&) = delete;
  SimDevice& operator=(const SimDevice&) = delete;

  Bytes capacity() const override { return {current_.size()}; }
  std::string describe() const override;
  bool discards() const override { return true; }  // afterwards each block reads as before, as zeros or as anything
  void start(IoOperation& operation) override;

  void set_faults(const SimFaults& faults);
  // Reads that touch the range, which lies on the device, fail with EIO until it is written again, block by block.
  void make_unreadable(u64 offset, u64 length);
  // Decay at rest: durable and cached bytes alike.
  void flip_bit(u64 offset, unsigned bit);
  // Overwrites with random bytes.
  void damage(u64 offset, u64 length);

  // From here on nothing is stored. Requests under way stay in the crash images as such.
  void power_cut();
  bool power_is_cut() const { return power_is_cut_; }
  bool has_vanished() const { return vanished_; }
  // A device that vanished is there again, with what it remembered.
  void come_back_stale();

  // What is on the device if nothing is lost: after a clean end, or when only the process dies.
  const Image& image() const { return current_; }
  // What a power cut may leave. Durable bytes are always there; each pending write is wholly there, partly there or
  // missing.
  Image crash_image(Random& random) const;
  Image crash_image_all_lost() const;
  // `kept` says for each unit of each pending write, by its place in pending_writes(), whether it was stored: every
  // possible image can be made this way.
  Image crash_image(const std::function<bool(std::size_t write, u64 unit)>& kept) const;
  std::vector<PendingWrite> pending_writes() const;

  // Called as each request starts, on the core that asks.
  void set_start_observer(std::function<void(SimDevice&)> observer) { start_observer_ = std::move(observer); }
  // Called after each request has completed (and before its waiter runs): the moments at which to look at crash images.
  void set_observer(std::function<void(SimDevice&)> observer) { observer_ = std::move(observer); }
  // Called in the moment in which its power is cut.
  void set_power_observer(std::function<void()> observer) { power_observer_ = std::move(observer); }
  // Called before a flush or a durable write takes effect: between two such moments what a power cut may lose only grows,
  // so their crash images are all that there are.
  void set_durability_observer(std::function<void(SimDevice&)> observer) { durability_observer_ = std::move(observer); }
  // Of all requests, their bytes and their order: equal for equal histories.
  u64 trace_hash() const { return trace_hash_; }

 private:
  struct Write {
    u64 offset = 0;
    std::vector<std::byte> data;
    bool durable = false;   // a power cut keeps it; it waits here only for the order among writes
    bool doubtful = false;  // a flush failed on it: the next one keeps it or drops it
  };
  struct Flight : runtime::Timer {
    SimDevice* device = nullptr;
    runtime::Reactor* reactor = nullptr;
    IoOperation* operation = nullptr;
    std::shared_ptr<Write> write;  // of a write or a discard
    std::vector<std::shared_ptr<Write>> flushed;
    u64 read_from = 0;
    int error = 0;
    u64 moved = 0;  // bytes
    bool gone = false;  // the device vanished meanwhile
    bool lost = false;
    bool flipped = false;
  };

  void start_read(Flight& flight);
  void start_write(Flight& flight);
  void start_discard(Flight& flight);
  void start_flush(Flight& flight);
  void launch(std::unique_ptr<Flight> flight);
  u64 delay_ns(IoOperation::Kind kind);

  static void landed(runtime::Timer& timer);
  void finish(Flight& flight);
  void answer(IoOperation& operation);
  void finish_read(Flight& flight);
  void finish_write(Flight& flight);
  void finish_flush(Flight& flight);
  void store_part(const Write& write);
  u64 some_units(u64 length);
  void vanish();
  void revert();
  void settle_durable();

  bool unreadable(u64 offset, u64 length) const;
  u64 other_block(u64 offset, u64 length);
  void trace(u64 fact);

  SimDeviceSettings settings_;
  Random random_;
  WriteThrough write_through_;
  SimFaults faults_;  // counting down
  Image durable_;
  Image current_;
  std::deque<std::shared_ptr<Write>> completed_;  // not yet in durable_, in the order of completion
  std::vector<std::shared_ptr<Write>> under_way_;
  std::vector<std::unique_ptr<Flight>> flights_;
  std::vector<bool> unreadable_;  // by block; empty: all are readable
  bool power_is_cut_ = false;
  std::function<void(SimDevice&)> start_observer_;
  bool vanished_ = false;
  std::optional<Image> remembered_;
  std::function<void(SimDevice&)> observer_;
  std::function<void()> power_observer_;
  std::function<void(SimDevice&)> durability_observer_;
  u64 trace_hash_ = 0;
};

}  // namespace cowfs::device
