// A read at a time takes a disk's latency for each bucket, a second and more for a gigabyte; 16 MiB in flight keep any
// device busy. What is in memory is bounded by evicting what nobody holds, also when a slow reader will want it again:
// waiting for that reader instead would let one that failed stop all others.
#include "engine/journal/bucket_feed.h"

#include <algorithm>

namespace cowfs::journal {

BucketFeed::BucketFeed(device::Device& device, const JournalLayout& layout, std::vector<u64> order, u64 readers)
    : device_(device), layout_(layout), slots_(order.size()) {
  for (u64 i = 0; i < order.size(); ++i) {
    slots_[i].bucket = order[i];
    slots_[i].remaining = readers;
    const bool is_new = place_.emplace(order[i], i).second;
    assert(is_new);
  }
}

BucketFeed::~BucketFeed() = default;

Task<Result<ByteSpan>> BucketFeed::take(u64 bucket) {
  const u64 place = place_.at(bucket);
  Slot& slot = slots_[place];
  ++slot.holders;
  if (!slot.loaded && !slot.loading) start_load(slot);
  read_ahead(place);
  while (slot.loading) co_await loaded_.wait();
  if (slot.remaining > 0) --slot.remaining;
  if (!slot.result) {
    const Error error = slot.result.error();
    done(bucket);
    co_return error;
  }
  co_return ByteSpan(slot.buffer.span());
}

void BucketFeed::done(u64 bucket) {
  Slot& slot = slots_[place_.at(bucket)];
  assert(slot.holders > 0);
  --slot.holders;
  // One that could not be read is read again for whoever asks next.
  if (slot.holders == 0 && (slot.remaining == 0 || !slot.result)) drop(slot);
}

Task<void> BucketFeed::stop() {
  stopping_ = true;
  co_await gate_.drained();
}

void BucketFeed::start_load(Slot& slot) {
  make_room();
  if (!spare_.empty()) {
    slot.buffer = std::move(spare_.back());
    spare_.pop_back();
  } else {
    slot.buffer = device::AlignedBuffer(layout_.bucket_bytes());
  }
  ++resident_;
  first_resident_ = std::min(first_resident_, place_.at(slot.bucket));
  slot.loading = true;
  gate_.spawn(load(slot));
}

Task<void> BucketFeed::load(Slot& slot) {
  device::IoAwaiter read = device_.read(layout_.bucket_block(slot.bucket) * block_bytes, slot.buffer.span());
  slot.result = co_await read;
  slot.loading = false;
  slot.loaded = true;
  loaded_.wake_all();
}

void BucketFeed::read_ahead(u64 after) {
  const u64 ahead = std::max<u64>(ahead_bytes / layout_.bucket_bytes(), 1);
  const u64 end = std::min<u64>(after + 1 + ahead, slots_.size());
  for (u64 i = after + 1; i < end && !stopping_; ++i) {
    Slot& slot = slots_[i];
    if (slot.loaded || slot.loading || slot.remaining == 0) continue;
    if (resident_ * layout_.bucket_bytes() >= resident_bytes) return;
    start_load(slot);
  }
}

void BucketFeed::drop(Slot& slot) {
  assert(slot.holders == 0 && slot.loaded);
  slot.loaded = false;
  slot.result = {};
  spare_.push_back(std::move(slot.buffer));
  --resident_;
}

// What the most advanced readers left behind goes first.
void BucketFeed::make_room() {
  for (u64 i = first_resident_; i < slots_.size() && resident_ * layout_.bucket_bytes() >= resident_bytes; ++i) {
    Slot& slot = slots_[i];
    if (i == first_resident_ && !slot.loaded && !slot.loading) ++first_resident_;
    if (slot.loaded && slot.holders == 0) drop(slot);
  }
}

}  // namespace cowfs::journal
