// The buckets in which one slice keeps its btree nodes and its space list. They are listed in the slice header, not in a
// tree, so a checkpoint never has to describe itself.
//
// Nodes are appended. Space that a checkpoint no longer names counts as dead at once in the next header, but its bucket
// is used again only when that header is durable (published()).
#pragma once
#include <algorithm>
#include <vector>

#include "engine/btree/tree.h"
#include "engine/device/device_set.h"
#include "engine/format/journal.h"
#include "engine/space/bucket_table.h"

namespace cowfs::slice {

// Of live blocks of metadata: they lie in buckets of which a third has died.
constexpr u64 metadata_blocks_held(u64 live_blocks) { return live_blocks + live_blocks / 2; }

// Buckets of all slices that no user may fill, for metadata of data: 104 bytes of keys for each 4 KiB block overwritten alone, in
// leaves that are two thirds full and buckets that are three quarters alive, and as much again during a checkpoint that rewrites it all.
constexpr u64 metadata_reserve_buckets(u64 total, u64 slices) {
  constexpr u64 checkpoint_per_slice_max = 16;
  return total / 16 + std::min(total / 16, slices * checkpoint_per_slice_max);
}

class MetadataSpace final : public btree::NodeStore {
 public:
  MetadataSpace(const device::DeviceSet& devices, space::BucketTable& buckets) : devices_(devices), buckets_(buckets) {}

  // Open: the list of the header in force; its buckets are marked in the table.
  Status restore(const std::vector<format::MetadataBucket>& list);

  // Blocks that allocate() can still hand out without taking an empty bucket the table does not have.
  u64 room_blocks() const;
  // Takes an empty bucket of the table for metadata. False: there is none.
  bool add_bucket(Epoch epoch);

  runtime::Task<Status> read(format::NodePointer pointer, MutableByteSpan image) override;
  runtime::Task<Status> read_other_copies(format::NodePointer pointer, MutableByteSpan image, Verify verify,
                                          Error wrong) override;
  format::Address allocate(u64 blocks) override;
  runtime::Task<Status> write(format::Address address, ByteSpan image) override;
  void release(const format::NodePointer& pointer) override { dead_.push_back({pointer.address, pointer.blocks()}); }

  // Writes what write() gathered, up to the end of its last stripe. Nothing that was allocated may be written later.
  runtime::Task<Status> drain();
  void release(format::Address address, u64 blocks) { dead_.push_back({address.value, blocks}); }

  // The list for the header being written: what was released is dead in it. Buckets that hold nothing any more are left
  // out, and freed by published(). Error space_list_contradicted: it named less than there was.
  Result<std::vector<format::MetadataBucket>> list_for_header();
  void published();

  // Buckets whose live share is below half, once such buckets waste more than a quarter of all metadata space.
  std::vector<format::BucketId> sparse_buckets() const { return sparse_buckets(buckets_held_); }
  // Those of which an eighth or more has died, emptiest first.
  std::vector<format::BucketId> emptiest_buckets() const;
  // Nodes are appended to none of those beyond the end of the space. Not while a checkpoint is being written.
  void leave_beyond();
  std::vector<format::BucketId> buckets_beyond() const;
  u64 count_beyond() const;
  u64 live_blocks_of(format::BucketId id) const;
  // Without these nodes a bucket would be empty, or too sparse to stay.
  bool shrinks_without(const std::vector<format::NodePointer>& nodes) const;
  u64 full_buckets() const { return open_; }
  u64 bucket_count() const { return buckets_held_.size() + leaving_.size(); }
  u64 live_blocks() const;
  // The live blocks of the newest header: what a checkpoint that rewrites everything replaces.
  u64 settled_blocks() const { return settled_blocks_; }

 private:
  struct Held {
    format::BucketId id;
    u64 live_blocks = 0;
    u64 filled_blocks = 0;
  };
  struct Dead {
    u64 address;
    u64 blocks;
  };
  Held* find(format::BucketId id);
  bool is_needless(const Held& bucket, std::size_t place) const;
  std::vector<format::BucketId> sparse_buckets(const std::vector<Held>& held) const;
  u64 stripe_blocks() const { return devices_[0].stripe_blocks(); }
  u64 stripe_end(u64 filled_blocks) const;
  void begin_gathering(format::Address address);
  runtime::Task<Status> write_gathered(u64 bytes);

  const device::DeviceSet& devices_;
  space::BucketTable& buckets_;
  std::vector<Held> buckets_held_;  // the last ones, from open_ on, still have room
  std::size_t open_ = 0;
  u64 settled_blocks_ = 0;
  std::vector<Dead> dead_;
  std::vector<format::BucketId> leaving_;

  struct AlignedFree {
    void operator()(std::byte* memory) const { ::operator delete(memory, std::align_val_t{block_bytes}); }
  };
  static constexpr u64 gather_bytes_ = 512 * kib;
  std::unique_ptr<std::byte, AlignedFree> gather_;
  format::Address gather_at_;  // where a stripe begins
  u64 gathered_bytes_ = 0;
};

}  // namespace cowfs::slice
