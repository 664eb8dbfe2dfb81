#include "engine/repair/rebuild_internal.h"

#include <absl/container/btree_set.h>

#include <deque>

#include "engine/slice/slice.h"

namespace cowfs::repair {

using format::BucketId;

namespace {

// Nobody commits here: the streams only say which epoch it is.
class Nobody final : public journal::EpochObserver, public journal::ReclaimTarget {
  void epoch_sealed(Epoch) override {}
  void epoch_durable(Epoch) override {}
  Epoch oldest_needed(runtime::CoreIndex) override { return {~0ull}; }
  void checkpoint_wanted(Epoch) override {}
};

constexpr std::array replayed_trees{TreeId::inodes, TreeId::dirents, TreeId::xattrs, TreeId::extents, TreeId::counters};

journal::History empty_history(const format::Superblock& superblock, u64 epoch, u32 session) {
  journal::History history;
  history.layout = journal::JournalLayout::of(superblock);
  history.last = {epoch - 1};
  history.next = {epoch};
  history.session = session;
  return history;
}

class Rebuilder final : public slice::BucketSource {
 public:
  Rebuilder(device::Device& device, const format::Superblock& superblock, const Salvaged& mended, u64 epoch)
      : superblock_(superblock),
        mended_(mended),
        epoch_{epoch},
        devices_({&device}),
        nodes_(Bytes{~0ull}),
        journal_({&device}, empty_history(superblock, epoch, mended.session), {{&nobody_, &nobody_}}) {}

  Task<Result<Rebuilt>> run(const absl::flat_hash_set<u64>& buckets_in_use);
  Task<Result<slice::LeaseGrant>> lease(u16 slice, std::size_t count, slice::Watermark watermark) override;
  // Changes are not limited here.
  Task<Status> make_room(u16) override { co_return Status{}; }

 private:
  std::vector<BucketId> data_buckets(u16 slice) const;
  Task<Result<format::SliceHeader>> build(u16 id);
  Task<Status> fill(slice::Slice& slice);
  Task<Status> upsert(slice::Slice& slice, TreeId tree, Key key, ByteSpan value);
  Task<Status> write_leases(slice::Slice& zero);
  void finish(u16 id, format::SliceHeader& header) const;

  const format::Superblock& superblock_;
  const Salvaged& mended_;
  const Epoch epoch_;
  device::DeviceSet devices_;
  Nobody nobody_;
  btree::NodePool nodes_;
  journal::Journal journal_;
  std::deque<BucketId> free_;
  std::vector<std::pair<BucketId, u16>> leases_;
  std::size_t leases_written_ = 0;
};

Task<Result<slice::LeaseGrant>> Rebuilder::lease(u16 slice, std::size_t count, slice::Watermark) {
  slice::LeaseGrant grant;
  grant.epoch = epoch_;
  for (; count > 0 && !free_.empty(); --count, free_.pop_front()) {
    grant.buckets.push_back(free_.front());
    leases_.emplace_back(free_.front(), slice);
  }
  co_return grant;
}

std::vector<BucketId> Rebuilder::data_buckets(u16 slice) const {
  absl::btree_set<u64> buckets;
  for (const auto& [key, value] : mended_.slices[slice].tree(TreeId::extents)) {
    const format::Extent extent = format::decode_extent(value);
    if (extent.kind == format::ExtentKind::data)
      buckets.insert(format::bucket_of(extent.address, superblock_.bucket_blocks).value);
  }
  std::vector<BucketId> ids;
  for (const u64 bucket : buckets) ids.push_back(BucketId{bucket});
  return ids;
}

Task<Result<Rebuilt>> Rebuilder::run(const absl::flat_hash_set<u64>& buckets_in_use) {
  for (u64 number = superblock_.first_data_bucket; number < superblock_.bucket_count; ++number) {
    const BucketId bucket = BucketId::of(superblock_.device_index, number);
    if (!buckets_in_use.contains(bucket.value)) free_.push_back(bucket);
  }
  Rebuilt rebuilt;
  rebuilt.epoch = epoch_.value;
  rebuilt.headers.resize(superblock_.slices);
  // Slice 0 comes last: it has the table of what the others were leased.
  for (u16 id = superblock_.slices; id-- > 0;) {
    Result<format::SliceHeader> header = co_await build(id);
    if (!header) co_return header.error();
    finish(id, *header);
    rebuilt.headers[id] = *header;
  }
  co_return rebuilt;
}

Task<Result<format::SliceHeader>> Rebuilder::build(u16 id) {
  slice::Slice slice(id, superblock_, devices_, journal_.stream(0), *this, nodes_, false);
  const std::vector<BucketId> buckets = data_buckets(id);
  for (const BucketId bucket : buckets) leases_.emplace_back(bucket, id);
  Status done = co_await slice.restore_space(buckets);
  if (done) done = co_await fill(slice);
  if (done) done = slice.end_replay(epoch_);
  if (done) done = co_await slice.make_room();
  if (done && id == 0) done = co_await write_leases(slice);
  if (!done) co_return done.error();
  co_return co_await slice.write_replayed(epoch_);
}

Task<Status> Rebuilder::fill(slice::Slice& slice) {
  const SliceSalvaged& from = mended_.slices[slice.id()];
  for (const TreeId tree : replayed_trees) {
    for (const auto& [key, value] : from.tree(tree)) {
      const Status replayed = co_await upsert(slice, tree, key, value);
      if (!replayed) co_return replayed;
    }
  }
  co_return Status{};
}

Task<Status> Rebuilder::upsert(slice::Slice& slice, TreeId tree, Key key, ByteSpan value) {
  const format::Record record{slice.id(), tree, format::UpdateKind::upsert, key, value};
  co_return co_await slice.replay(epoch_, record);
}

// Room for the table itself is leased, too: until that adds nothing.
Task<Status> Rebuilder::write_leases(slice::Slice& zero) {
  while (leases_written_ < leases_.size()) {
    for (; leases_written_ < leases_.size(); ++leases_written_) {
      const auto& [bucket, owner] = leases_[leases_written_];
      const format::LeaseValue lease{owner, 0};
      const Status written = co_await upsert(zero, TreeId::leases, {bucket.value, 0, 0}, bytes_of(lease));
      if (!written) co_return written;
    }
    const Status room = co_await zero.make_room();
    if (!room) co_return room;
  }
  co_return Status{};
}

// In the place that the one in force does not have. A header that is damaged may be the newest: then its place must not look
// as if nothing had been there until the commit that makes this one count.
void Rebuilder::finish(u16 id, format::SliceHeader& header) const {
  const SliceSalvaged& slice = mended_.slices[id];
  header.sequence = slice.header ? slice.header->sequence + 1 : 1;
  header.publish_epoch = slice.twin_is_sound ? epoch_.value : epoch_.value + 1;
  if (slice.header && slice.header->next_inode <= 1ull << 47)
    header.next_inode = std::max<u64>(header.next_inode, slice.header->next_inode);
  format::seal_slice_header(header);
}

}  // namespace

Task<Result<Rebuilt>> rebuild(device::Device& device, const format::Superblock& superblock, const Salvaged& mended,
                              const absl::flat_hash_set<u64>& buckets_in_use) {
  Rebuilder rebuilder(device, superblock, mended, mended.newest_epoch + format::commit_slots + 2);
  co_return co_await rebuilder.run(buckets_in_use);
}

}  // namespace cowfs::repair
