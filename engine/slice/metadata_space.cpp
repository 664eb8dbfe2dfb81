#include "engine/slice/metadata_space.h"

#include "engine/device/copies.h"

#include <algorithm>

#include "engine/base/points.h"

namespace cowfs::slice {

using format::Address;
using format::BucketId;

Status MetadataSpace::restore(const std::vector<format::MetadataBucket>& list) {
  for (const format::MetadataBucket& entry : list) {
    const BucketId id{entry.bucket};
    if (Status marked = buckets_.restore_metadata(id); !marked) return marked;
    buckets_held_.push_back({id, entry.live_blocks, stripe_end(entry.filled_blocks)});
  }
  // Full ones first; what has room left is filled on, behind what the checkpoint in force wrote.
  std::stable_sort(buckets_held_.begin(), buckets_held_.end(),
                   [](const Held& a, const Held& b) { return a.filled_blocks > b.filled_blocks; });
  open_ = buckets_held_.size();
  while (open_ > 0 && buckets_held_[open_ - 1].filled_blocks + format::node_blocks_max <= buckets_.bucket_blocks()) --open_;
  settled_blocks_ = live_blocks();
  return {};
}

u64 MetadataSpace::room_blocks() const {
  u64 room = 0;
  for (std::size_t i = open_; i < buckets_held_.size(); ++i) {
    // The tail of a bucket may be too short for the node at hand.
    const u64 left = buckets_.bucket_blocks() - buckets_held_[i].filled_blocks;
    room += left - std::min(left, format::node_blocks_max - 1);
  }
  return room;
}

bool MetadataSpace::add_bucket(Epoch epoch) {
  const auto taken = buckets_.take(space::Stream::metadata, epoch);
  if (taken) buckets_held_.push_back({*taken, 0, 0});
  return taken.has_value();
}

runtime::Task<Status> MetadataSpace::read(format::NodePointer pointer, MutableByteSpan image) {
  const Address address{pointer.address};
  const bool known = devices_.has(address.device()) &&
                     address.offset_bytes() + image.size() <= devices_[address.device()].capacity().value;
  if (!known) {
    co_return Error{Code::metadata_address_invalid, address.value,
                    Place{.device = address.device(), .offset_bytes = address.offset_bytes()}};
  }
  co_return co_await devices_[address.device()].read(address.offset_bytes(), image);
}

runtime::Task<Status> MetadataSpace::read_other_copies(format::NodePointer pointer, MutableByteSpan image, Verify verify,
                                                       Error wrong) {
  const Address address{pointer.address};
  if (wrong.code == Code::metadata_address_invalid) co_return wrong;
  // While a mount opens, not all buckets are known, and none is written.
  const BucketId bucket = format::bucket_of(address, buckets_.bucket_blocks());
  space::BucketPin pin;
  if (buckets_.find(bucket) != nullptr) pin = buckets_.pin(address);
  co_return co_await device::read_other_copies(devices_[address.device()], address.offset_bytes(), image, std::move(verify),
                                               wrong);
}

Address MetadataSpace::allocate(u64 blocks) {
  assert(blocks > 0 && blocks <= buckets_.bucket_blocks());
  while (true) {
    assert(open_ < buckets_held_.size());
    Held& bucket = buckets_held_[open_];
    if (bucket.filled_blocks + blocks <= buckets_.bucket_blocks()) {
      const Address address = format::first_block(bucket.id, buckets_.bucket_blocks()).plus(bucket.filled_blocks);
      bucket.filled_blocks += blocks;
      bucket.live_blocks += blocks;
      return address;
    }
    ++open_;
  }
}

runtime::Task<Status> MetadataSpace::write(Address address, ByteSpan image) {
  const bool begins_bucket = address.block() % buckets_.bucket_blocks() == 0;
  const bool continues =
      gathered_bytes_ > 0 && !begins_bucket && gather_at_.plus(gathered_bytes_ / block_bytes) == address;
  if (!continues) {
    const Status drained = co_await drain();
    if (!drained) co_return drained;
    begin_gathering(address);
  } else if (gathered_bytes_ + image.size() > gather_bytes_) {
    const u64 stripe_bytes = stripe_blocks() * block_bytes;
    const Status written = co_await write_gathered(gathered_bytes_ / stripe_bytes * stripe_bytes);
    if (!written) co_return written;
  }
  std::memcpy(gather_.get() + gathered_bytes_, image.data(), image.size());
  gathered_bytes_ += image.size();
  co_return Status{};
}

u64 MetadataSpace::stripe_end(u64 filled_blocks) const {
  return std::min(round_up(filled_blocks, stripe_blocks()), buckets_.bucket_blocks());
}

// In the middle of a stripe only after a checkpoint that failed: what it would have written there is zeros.
void MetadataSpace::begin_gathering(Address address) {
  if (!gather_) {
    const u64 bytes = gather_bytes_ + stripe_blocks() * block_bytes;
    gather_.reset(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{block_bytes})));
  }
  const u64 skipped = address.block() % buckets_.bucket_blocks() % stripe_blocks();
  gather_at_ = Address::of(address.device(), address.block() - skipped);
  gathered_bytes_ = skipped * block_bytes;
  std::memset(gather_.get(), 0, gathered_bytes_);
}

// The first `bytes` of it; the rest stays.
runtime::Task<Status> MetadataSpace::write_gathered(u64 bytes) {
  const u64 rest = gathered_bytes_ - bytes;
  gathered_bytes_ = 0;
  const Status written = co_await devices_[gather_at_.device()].write(gather_at_.offset_bytes(), {gather_.get(), bytes});
  if (!written) co_return written;
  std::memmove(gather_.get(), gather_.get() + bytes, rest);
  gather_at_ = gather_at_.plus(bytes / block_bytes);
  gathered_bytes_ = rest;
  co_return Status{};
}

runtime::Task<Status> MetadataSpace::drain() {
  if (gathered_bytes_ == 0) co_return Status{};
  const u64 from = gather_at_.block() % buckets_.bucket_blocks();
  const u64 bytes = (stripe_end(from + gathered_bytes_ / block_bytes) - from) * block_bytes;
  std::memset(gather_.get() + gathered_bytes_, 0, bytes - gathered_bytes_);
  gathered_bytes_ = bytes;
  co_return co_await write_gathered(bytes);
}

// Room that a checkpoint took and did not need goes, too; but not the bucket that is being filled, and the next.
bool MetadataSpace::is_needless(const Held& bucket, std::size_t place) const {
  return bucket.live_blocks == 0 && (place < open_ || place > open_ + 1);
}

MetadataSpace::Held* MetadataSpace::find(BucketId id) {
  const auto found = std::find_if(buckets_held_.begin(), buckets_held_.end(), [&](const Held& h) { return h.id == id; });
  return found == buckets_held_.end() ? nullptr : &*found;
}

Result<std::vector<format::MetadataBucket>> MetadataSpace::list_for_header() {
  for (const Dead& dead : dead_) {
    const Address address{dead.address};
    Held* bucket = find(format::bucket_of(address, buckets_.bucket_blocks()));
    if (bucket == nullptr || bucket->live_blocks < dead.blocks) {
      return Error{Code::space_list_contradicted, dead.address,
                   Place{.device = address.device(), .offset_bytes = address.offset_bytes()}};
    }
    bucket->live_blocks -= dead.blocks;
  }
  dead_.clear();
  std::vector<Held> kept;
  std::size_t open = 0;
  for (std::size_t i = 0; i < buckets_held_.size(); ++i) {
    const Held& bucket = buckets_held_[i];
    if (is_needless(bucket, i)) {
      leaving_.push_back(bucket.id);
      continue;
    }
    kept.push_back(bucket);
    if (i < open_) ++open;
  }
  buckets_held_ = std::move(kept);
  open_ = open;
  // The next checkpoint begins with a stripe of its own.
  for (std::size_t i = open_; i < buckets_held_.size(); ++i)
    buckets_held_[i].filled_blocks = stripe_end(buckets_held_[i].filled_blocks);
  settled_blocks_ = live_blocks();
  std::vector<format::MetadataBucket> list;
  for (const Held& bucket : buckets_held_) {
    format::MetadataBucket entry{};
    entry.bucket = bucket.id.value;
    entry.live_blocks = static_cast<u32>(bucket.live_blocks);
    entry.filled_blocks = static_cast<u32>(bucket.filled_blocks);
    list.push_back(entry);
  }
  return list;
}

void MetadataSpace::published() {
  if (!leaving_.empty()) reached(Point::metadata_bucket_freed);
  for (BucketId id : leaving_) buckets_.free_metadata(id);
  leaving_.clear();
}

std::vector<BucketId> MetadataSpace::sparse_buckets(const std::vector<Held>& held) const {
  std::vector<BucketId> sparse;
  u64 wasted = 0;
  for (std::size_t i = 0; i < open_; ++i) {
    const Held& bucket = held[i];
    if (bucket.live_blocks * 2 >= buckets_.bucket_blocks()) continue;
    sparse.push_back(bucket.id);
    wasted += buckets_.bucket_blocks() - bucket.live_blocks;
  }
  if (wasted * 4 < held.size() * buckets_.bucket_blocks()) sparse.clear();
  return sparse;
}

std::vector<BucketId> MetadataSpace::emptiest_buckets() const {
  std::vector<Held> held(buckets_held_.begin(), buckets_held_.begin() + static_cast<std::ptrdiff_t>(open_));
  std::erase_if(held, [this](const Held& bucket) { return bucket.live_blocks * 8 > buckets_.bucket_blocks() * 7; });
  std::stable_sort(held.begin(), held.end(),
                   [](const Held& a, const Held& b) { return a.live_blocks < b.live_blocks; });
  std::vector<BucketId> emptiest;
  for (const Held& bucket : held) emptiest.push_back(bucket.id);
  return emptiest;
}

void MetadataSpace::leave_beyond() {
  const auto first = buckets_held_.begin() + static_cast<std::ptrdiff_t>(open_);
  const auto left = std::stable_partition(first, buckets_held_.end(),
                                          [this](const Held& bucket) { return buckets_.is_beyond(bucket.id); });
  open_ += static_cast<std::size_t>(left - first);
}

std::vector<BucketId> MetadataSpace::buckets_beyond() const {
  std::vector<BucketId> beyond;
  for (const Held& bucket : buckets_held_)
    if (buckets_.is_beyond(bucket.id)) beyond.push_back(bucket.id);
  return beyond;
}

// Asked whenever a bucket is taken.
u64 MetadataSpace::count_beyond() const {
  if (!buckets_.is_limited()) return 0;
  const auto goes = [this](const Held& bucket) { return buckets_.is_beyond(bucket.id); };
  return static_cast<u64>(std::count_if(buckets_held_.begin(), buckets_held_.end(), goes));
}

u64 MetadataSpace::live_blocks_of(BucketId id) const {
  for (const Held& bucket : buckets_held_)
    if (bucket.id == id) return bucket.live_blocks;
  return 0;
}

bool MetadataSpace::shrinks_without(const std::vector<format::NodePointer>& nodes) const {
  std::vector<Held> held = buckets_held_;
  for (const format::NodePointer& node : nodes) {
    const BucketId id = format::bucket_of(Address{node.address}, buckets_.bucket_blocks());
    const auto found = std::find_if(held.begin(), held.end(), [&](const Held& bucket) { return bucket.id == id; });
    if (found != held.end()) found->live_blocks -= std::min(found->live_blocks, node.blocks());
  }
  for (std::size_t i = 0; i < held.size(); ++i) {
    if (is_needless(held[i], i)) return true;
  }
  return !sparse_buckets(held).empty();
}

u64 MetadataSpace::live_blocks() const {
  u64 live = 0;
  for (const Held& bucket : buckets_held_) live += bucket.live_blocks;
  return live;
}

}  // namespace cowfs::slice
