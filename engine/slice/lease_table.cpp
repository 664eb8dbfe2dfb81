#include "engine/slice/lease_table.h"

#include <algorithm>

#include "engine/base/points.h"

namespace cowfs::slice {

using format::BucketId;

namespace {
Key lease_key(u64 bucket) { return {bucket, 0, 0}; }
constexpr std::size_t updates_per_transaction_max = 64;
}  // namespace

LeaseTable::LeaseTable(Slice& zero, const format::Superblock& superblock)
    : zero_(zero), superblock_(superblock), end_(superblock.first_data_bucket) {}

void LeaseTable::extend(u64 bucket_count) {
  total_ += bucket_count - end_;
  for (; end_ < bucket_count; ++end_) free_.insert(BucketId::of(superblock_.device_index, end_).value);
}

void LeaseTable::limit(u64 bucket_count) {
  free_.merge(free_beyond_);
  end_ = bucket_count;
  total_ = bucket_count - superblock_.first_data_bucket;
  const auto beyond = free_.lower_bound(BucketId::of(superblock_.device_index, end_).value);
  free_beyond_.insert(beyond, free_.end());
  free_.erase(beyond, free_.end());
}

std::size_t LeaseTable::leased_beyond() const { return superblock_.bucket_count - end_ - free_beyond_.size(); }

void LeaseTable::put_back(BucketId bucket) { (bucket.number() < end_ ? free_ : free_beyond_).insert(bucket.value); }

Task<Result<std::vector<std::vector<BucketId>>>> LeaseTable::restore() {
  std::vector<std::vector<BucketId>> owners(superblock_.slices);
  extend(superblock_.bucket_count);
  Key from = format::key_min;
  while (true) {
    btree::Cursor at = zero_.tree(TreeId::leases).seek(from);
    for (; at.valid(); at.next()) {
      format::LeaseValue lease;
      std::memcpy(&lease, at.value().data(), sizeof lease);
      const u64 bucket = at.key().inode;
      if (lease.slice >= owners.size() || free_.erase(bucket) == 0) {
        co_return Error{Code::lease_entry_invalid, bucket, Place{.slice = 0}};
      }
      owners[lease.slice].push_back(BucketId{bucket});
    }
    if (at.state() != btree::Cursor::State::missing) co_return owners;
    from = at.resume_key();
    btree::NodesHeld held;
    const Status loaded = co_await zero_.load({TreeId::leases, at.missing()}, held);
    if (!loaded) co_return loaded.error();
  }
}

// The last free buckets: none for users, half of them for copygc and for changes, all for checkpoints.
std::size_t LeaseTable::kept_back(Watermark watermark) const {
  if (watermark == Watermark::metadata) return 0;
  const std::size_t reserve = std::min<std::size_t>(superblock_.slices * 2u + 2, total_ / 16 + 1);
  return watermark == Watermark::user ? reserve : reserve / 2;
}

Task<Result<LeaseGrant>> LeaseTable::grant(u16 slice, std::size_t count, Watermark watermark) {
  LeaseGrant grant;
  const std::size_t kept = kept_back(watermark);
  while (grant.buckets.size() < count && free_.size() > kept) {
    const auto next = forced(Point::lease_far) ? std::prev(free_.end()) : free_.begin();
    grant.buckets.push_back(BucketId{*next});
    free_.erase(next);
  }
  if (grant.buckets.empty()) co_return grant;
  format::LeaseValue lease{};
  lease.slice = slice;
  std::vector<Update> updates;
  for (BucketId bucket : grant.buckets) {
    updates.push_back({TreeId::leases, UpdateKind::upsert, lease_key(bucket.value), bytes_of(lease)});
  }
  const Status written = co_await write(std::move(updates));
  if (!written) {
    for (BucketId bucket : grant.buckets) put_back(bucket);
    co_return written.error();
  }
  grant.epoch = zero_.stream().current();
  co_return grant;
}

Task<Status> LeaseTable::take_back(std::vector<BucketId> buckets) {
  std::vector<Update> updates;
  for (BucketId bucket : buckets) updates.push_back({TreeId::leases, UpdateKind::erase, lease_key(bucket.value), {}});
  const Status written = co_await write(std::move(updates));
  if (!written) co_return written;
  for (BucketId bucket : buckets) put_back(bucket);
  co_return Status{};
}

Task<Status> LeaseTable::write(std::vector<Update> updates) {
  journal::Stream& stream = zero_.stream();
  for (std::size_t first = 0; first < updates.size(); first += updates_per_transaction_max) {
    const std::span<const Update> some =
        std::span(updates).subspan(first, std::min(updates.size() - first, updates_per_transaction_max));
    u64 bytes = 0;
    for (const Update& update : some) bytes += journal_bytes(update);
    const Status reserved = co_await stream.reserve(bytes, journal::Urgency::reclaim);
    if (!reserved) co_return reserved;
    btree::NodesHeld held;
    for (std::size_t i = 0; i < some.size();) {
      Missing missing;
      if (zero_.ready(some[i], missing, Room::kept)) {
        ++i;
        continue;
      }
      const Status loaded = co_await zero_.load(missing, held);
      if (!loaded) {
        stream.unreserve(bytes);
        co_return loaded;
      }
      i = 0;
    }
    for (const Update& update : some) zero_.apply(update);
  }
  co_return Status{};
}

}  // namespace cowfs::slice
