// Brings journal buckets into memory for those who read history: the next ones while the readers are at work, and each
// one once for all readers, as long as these go about equally fast.
//
// On the core that made it, but for what take() answers, which any core may look at until done().
#pragma once
#include <absl/container/flat_hash_map.h>

#include <vector>

#include "engine/device/aligned_buffer.h"
#include "engine/journal/layout.h"
#include "engine/runtime/sync.h"

namespace cowfs::journal {

class BucketFeed {
 public:
  // `order`: buckets in the order in which a reader takes them, none twice. After each of `readers` took a bucket it is
  // forgotten; who wants it once more makes the feed read again.
  // `device` outlives the feed.
  BucketFeed(device::Device& device, const JournalLayout& layout, std::vector<u64> order, u64 readers);
  ~BucketFeed();
  BucketFeed(const BucketFeed&) = delete;
  BucketFeed& operator=(const BucketFeed&) = delete;

  device::Device& device() const { return device_; }
  bool has(u64 bucket) const { return place_.contains(bucket); }
  // The bytes of `bucket`, which stay until done(). It never waits for another reader: one that is far ahead of the
  // others only makes them read again. Errors: of the device; then there is no done(). Precondition: has(bucket).
  Task<Result<ByteSpan>> take(u64 bucket);
  void done(u64 bucket);
  // Waits for reads under way. Must be awaited before the feed goes.
  Task<void> stop();

  static constexpr u64 ahead_bytes = 16 * mib;     // asked for before a reader wants it
  static constexpr u64 resident_bytes = 64 * mib;  // more only while readers hold more

 private:
  struct Slot {
    u64 bucket = 0;
    u64 remaining = 0;  // readers that did not take it yet
    u64 holders = 0;
    bool loading = false;
    bool loaded = false;
    Status result;
    device::AlignedBuffer buffer;
  };

  void start_load(Slot& slot);
  Task<void> load(Slot& slot);
  void read_ahead(u64 after);
  void drop(Slot& slot);
  void make_room();

  device::Device& device_;
  const JournalLayout layout_;
  std::vector<Slot> slots_;              // in order
  absl::flat_hash_map<u64, u64> place_;  // of a bucket in slots_
  std::vector<device::AlignedBuffer> spare_;
  u64 resident_ = 0;        // slots with a buffer
  u64 first_resident_ = 0;  // none before it has one
  bool stopping_ = false;
  runtime::WaitList loaded_;
  runtime::Gate gate_;
};

}  // namespace cowfs::journal
