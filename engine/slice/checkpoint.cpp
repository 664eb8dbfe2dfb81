// A checkpoint, in order:
//   1. room for every dirty node is made in metadata buckets, so that allocate() cannot fail half-way;
//   2. the current epoch e is closed; in the instant when this core leaves it, memory is exactly history up to e:
//      the alloc tree is brought up to date and all trees are frozen (epoch_sealed);
//   3. frozen nodes are written, bottom up, then the list of metadata buckets;
//   4. a commit flushes them; the header is written to the place of the one before last; another commit flushes it.
// Only after 4 may dead metadata and the journal before e be used again. A crash at any point finds the previous header,
// or this one, whole.
#include <algorithm>

#include "engine/base/points.h"
#include "engine/codec/checksum.h"
#include "engine/slice/slice.h"

namespace cowfs::slice {

using format::SliceHeader;

namespace {

constexpr u64 room_for_moved_block = 2;  // more than its node has is claimed, and its parents move as well
constexpr u64 path_blocks_max = 4 * format::node_blocks_max;
constexpr u64 freeze_attempts_max = 64;
constexpr u64 put_off_ns = 15'000'000;
constexpr int put_off_commits = 8;

// Collects the nodes of a tree that lie in some buckets.
class NodesInBuckets final : public btree::NodeVisitor {
 public:
  struct Place {
    Key first;
    u8 level;
    format::Address address;
  };
  NodesInBuckets(const std::vector<format::BucketId>& buckets, u64 bucket_blocks)
      : buckets_(buckets), bucket_blocks_(bucket_blocks) {}
  Status visit(const format::NodePointer& pointer, const format::NodeHeader& header, ByteSpan) override {
    const format::Address address{pointer.address};
    const format::BucketId bucket = format::bucket_of(address, bucket_blocks_);
    if (std::find(buckets_.begin(), buckets_.end(), bucket) != buckets_.end()) {
      places.push_back({header.first.key(), header.level, address});
    }
    return {};
  }
  // Left where it is: whoever reads it next reports it.
  void damaged(const format::NodePointer&, const btree::SlotRange&, const Error&) override {}
  std::vector<Place> places;

 private:
  const std::vector<format::BucketId>& buckets_;
  u64 bucket_blocks_;
};

}  // namespace

Task<Status> Slice::prepare_checkpoint() {
  // Leased ones before the last two, which are what copygc moves data into: without it nothing gets free.
  while (metadata_.room_blocks() < checkpoint_blocks(dirty_blocks_bound())) {
    if (buckets_.empty_count() <= buckets_for_copygc) {
      const Result<bool> leased = co_await lease_more(1, Watermark::metadata);
      if (!leased) co_return leased.error();
    }
    if (!metadata_.add_bucket(stream_.current())) co_return Error{Code::space_no_buckets, id_, Place{.slice = id_}};
  }
  btree::NodesHeld held;
  Missing missing;
  while (!alloc_changes_ready(missing)) {
    const Status loaded = co_await load(missing, held);
    if (!loaded) co_return loaded;
    missing = {};
  }
  co_return Status{};
}

bool Slice::alloc_changes_ready(Missing& missing) {
  missing.tree = TreeId::alloc;
  bool all = true;
  buckets_.each_changed([&](const space::Bucket& bucket) {
    if (all) all = tree(TreeId::alloc).ready({bucket.id.value, 0, 0}, missing.node);
  });
  return all;
}

void Slice::write_alloc_changes() {
  buckets_.take_changes([&](const space::Bucket& bucket) {
    const Key key{bucket.id.value, 0, 0};
    if (bucket.live_blocks == 0) {
      tree(TreeId::alloc).erase(key);
      return;
    }
    format::AllocValue value{};
    value.generation = bucket.generation;
    value.live_blocks = bucket.live_blocks;
    value.stream = static_cast<u8>(bucket.stream);
    tree(TreeId::alloc).upsert(key, bytes_of(value));
  });
}

// What grew since room was made may not fit any more, or a change is between its halves: then the next epoch tries again.
bool Slice::prepare_freeze() {
  Missing missing;
  if (!alloc_changes_ready(missing)) return false;
  write_alloc_changes();
  if (!std::all_of(trees_.begin(), trees_.end(), [](const auto& tree) { return tree->can_freeze(); })) return false;
  return metadata_.room_blocks() + checkpoint_slack_blocks >= checkpoint_blocks(dirty_blocks_bound());
}

void Slice::epoch_sealed(Epoch epoch) {
  if (!freeze_wanted_) return;
  if (!prepare_freeze() || forced(Point::freeze_put_off)) return;
  freeze_wanted_ = false;
  freeze(epoch);
}

void Slice::freeze(Epoch epoch) {
  frozen_ = std::make_unique<FrozenState>();
  frozen_->epoch = epoch;
  frozen_->next_inode = next_inode_;
  frozen_->inode_count = inode_count_;
  frozen_->data_blocks = buckets_.live_blocks();
  for (u8 id = 0; id < format::tree_count; ++id) frozen_->trees[id] = trees_[id]->freeze();
  if (claimed_nodes_max_ != unlimited) claimed_nodes_max_ = nodes_.claimed_nodes();
  // What a checkpoint froze that failed since is still needed.
  first_logged_frozen_ = std::min(first_logged_frozen_, std::exchange(first_logged_, Epoch{~0ull}));
}

Task<Status> Slice::checkpoint() {
  co_await checkpoint_lock_.acquire();
  const runtime::MutexHold hold(checkpoint_lock_);

  Status scattered = co_await scatter_sparse_metadata();
  if (!scattered) co_return scattered;
  for (u64 attempt = 0; !frozen_; ++attempt) {
    if (attempt == freeze_attempts_max) co_return Error{Code::checkpoint_starved, id_, Place{.slice = id_}};
    Status prepared = co_await prepare_checkpoint();
    if (!prepared) co_return prepared;
    freeze_wanted_ = true;
    Status closed = co_await stream_.commit(stream_.current());
    freeze_wanted_ = false;
    if (!closed) co_return closed;
  }
  const std::unique_ptr<FrozenState> frozen = std::move(frozen_);

  SliceHeader header{};
  Status written = co_await write_frozen(*frozen, header);
  for (u8 id = 0; id < format::tree_count; ++id) trees_[id]->settle(std::move(frozen->trees[id]), written.ok());
  if (written) written = co_await publish(header);
  if (!written) co_return written;

  header_ = header;
  metadata_.published();
  first_logged_frozen_ = Epoch{~0ull};
  stream_.take_part();
  nodes_.pool().evict();
  co_return Status{};
}

Task<void> Slice::limit_space(format::BucketId end) {
  co_await checkpoint_lock_.acquire();
  const runtime::MutexHold hold(checkpoint_lock_);
  buckets_.limit(end);
  metadata_.leave_beyond();
}

Task<Status> Slice::make_room() {
  write_alloc_changes();
  return prepare_checkpoint();
}

Task<Result<SliceHeader>> Slice::write_replayed(Epoch epoch) {
  freeze(epoch);
  const std::unique_ptr<FrozenState> frozen = std::move(frozen_);
  SliceHeader header{};
  const Status written = co_await write_frozen(*frozen, header);
  if (!written) co_return written.error();
  co_return header;
}

Task<void> Slice::checkpoint_ended() {
  co_await checkpoint_lock_.acquire();
  checkpoint_lock_.release();
}

Task<Status> Slice::write_frozen(FrozenState& frozen, SliceHeader& header) {
  header.filesystem = format::filesystem_id(superblock_);
  header.slice = id_;
  header.checksum_kind = superblock_.metadata_checksum;
  header.sequence = header_.sequence + 1;
  header.checkpoint_epoch = frozen.epoch.value;
  header.next_inode = frozen.next_inode;
  header.data_blocks = frozen.data_blocks;
  header.inodes = frozen.inode_count;
  for (u8 id = 0; id < format::tree_count; ++id) {
    const Result<btree::Root> root = co_await trees_[id]->write(frozen.trees[id], metadata_, frozen.epoch);
    if (!root) co_return root.error();
    header.roots[id] = root->pointer;
    header.levels[id] = root->level;
  }
  co_return co_await write_space_list(header);
}

Task<Status> Slice::write_space_list(SliceHeader& header) {
  if (space_list_.blocks > 0) metadata_.release(space_list_.place, space_list_.blocks);
  const u64 blocks = metadata_.bucket_count() * sizeof(format::MetadataBucket) / block_bytes + 1;
  const format::Address place = metadata_.allocate(blocks);
  Result<std::vector<format::MetadataBucket>> listed = metadata_.list_for_header();
  if (!listed) {
    Error error = listed.error();
    error.place.slice = id_;
    co_return error;
  }
  std::vector<format::MetadataBucket>& list = *listed;
  const u64 bytes = list.size() * sizeof(format::MetadataBucket);
  const u64 used_blocks = round_up(bytes, block_bytes) / block_bytes;
  assert(used_blocks <= blocks);
  space_list_ = {place, used_blocks};
  if (used_blocks < blocks) {
    // Dead in the next list as usual, and in this one at once: nothing else would tell after a mount.
    metadata_.release(place.plus(used_blocks), blocks - used_blocks);
    const u64 bucket = format::bucket_of(place, bucket_blocks()).value;
    const auto entry = std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.bucket == bucket; });
    assert(entry != list.end());
    entry->live_blocks = static_cast<u32>(entry->live_blocks - (blocks - used_blocks));
  }

  std::vector<std::byte> image(used_blocks * block_bytes);
  std::memcpy(image.data(), list.data(), bytes);
  header.space_buckets = static_cast<u32>(list.size());
  header.space_list_address = place.value;
  header.space_list_checksum = codec::checksum(static_cast<ChecksumKind>(header.checksum_kind), {image.data(), bytes});
  const Status written = co_await metadata_.write(place, image);
  if (!written) co_return written;
  co_return co_await metadata_.drain();
}

Task<Status> Slice::publish(SliceHeader& header) {
  Status flushed = co_await stream_.commit(stream_.current());
  if (!flushed) co_return flushed;
  // And what happens after commits, as that leases go back which this header still counts, is durable before it.
  for (int commits = forced(Point::publish_put_off) ? put_off_commits : 0; commits > 0; --commits) {
    co_await runtime::sleep_until(runtime::this_reactor().now_ns() + put_off_ns);
    flushed = co_await stream_.commit(stream_.current());
    if (!flushed) co_return flushed;
  }
  header.publish_epoch = stream_.durable().value;
  format::seal_slice_header(header);
  const std::unique_ptr<SliceHeader, void (*)(SliceHeader*)> aligned(
      new (std::align_val_t{block_bytes}) SliceHeader(header),
      [](SliceHeader* memory) { ::operator delete(memory, std::align_val_t{block_bytes}); });
  const Status written = co_await devices_[0].write(header_offset_bytes(header.sequence), bytes_of(*aligned));
  if (!written) co_return written;
  co_return co_await stream_.commit(stream_.current());
}

// Of those beyond the end of the space, the sparse buckets, or under pressure the emptiest, those for whose nodes there is room elsewhere.
Task<Result<std::vector<format::BucketId>>> Slice::choose_scattered() {
  std::vector<format::BucketId> chosen = metadata_.buckets_beyond();
  if (chosen.empty()) chosen = metadata_.sparse_buckets();
  if (chosen.empty() && !may_take(Watermark::changes)) chosen = metadata_.emptiest_buckets();
  u64 wanted = 0;
  for (const format::BucketId id : chosen) wanted += metadata_.live_blocks_of(id) * room_for_moved_block;
  if (wanted > blocks_left_by_checkpoint(0)) {
    const u64 lacking = (wanted - blocks_left_by_checkpoint(0)) / (bucket_blocks() - format::node_blocks_max) + 1;
    const Result<bool> leased = co_await lease_more(lacking, Watermark::changes);
    if (!leased) co_return leased.error();
  }
  while (wanted > blocks_left_by_checkpoint(0)) {
    wanted -= metadata_.live_blocks_of(chosen.back()) * room_for_moved_block;
    chosen.pop_back();
  }
  co_return chosen;
}

// Rewrites the nodes that keep sparse metadata buckets alive, so that metadata does not grow for ever.
Task<Status> Slice::scatter_sparse_metadata() {
  const Result<std::vector<format::BucketId>> chosen = co_await choose_scattered();
  if (!chosen) co_return chosen.error();
  if (chosen->empty()) co_return Status{};
  for (u8 id = 0; id < format::tree_count; ++id) {
    NodesInBuckets nodes(*chosen, bucket_blocks());
    const format::NodeIdentity identity{format::filesystem_id(superblock_), id_, static_cast<TreeId>(id)};
    const Status walked = co_await btree::walk(metadata_, identity, {header_.roots[id], header_.levels[id]}, nodes);
    if (!walked) co_return walked;
    for (const NodesInBuckets::Place& place : nodes.places) {
      if (blocks_left_by_checkpoint(path_blocks_max) == 0) co_return Status{};
      reached(Point::metadata_scattered);
      btree::NodesHeld held;
      Missing missing{static_cast<TreeId>(id), {}};
      while (!trees_[id]->mark_dirty(place.first, place.level, place.address, missing.node)) {
        const Status loaded = co_await load(missing, held);
        if (!loaded) co_return loaded;
        missing.node = {};
      }
    }
  }
  co_return Status{};
}

}  // namespace cowfs::slice
