#include "engine/slice/slice.h"

#include <algorithm>

#include "engine/base/points.h"

namespace cowfs::slice {

using format::Address;
using format::BucketId;
using format::Extent;
using format::ExtentKind;

namespace {

bool wants_orphan(ByteSpan inode_value) {
  format::InodeValue inode;
  std::memcpy(&inode, inode_value.data(), sizeof inode);
  return inode.links == 0 || (inode.flags & format::inode_truncating) != 0;
}

}  // namespace

Slice::Slice(u16 id, const format::Superblock& superblock, const device::DeviceSet& devices, journal::Stream& stream,
             BucketSource& source, btree::NodePool& nodes, bool discard)
    : id_(id),
      superblock_(superblock),
      devices_(devices),
      stream_(stream),
      source_(source),
      nodes_({format::filesystem_id(superblock), id, TreeId::inodes}, nodes,
             static_cast<ChecksumKind>(superblock.metadata_checksum)),
      buckets_(superblock.bucket_blocks, discard),
      metadata_(devices, buckets_),
      metadata_reserve_blocks_(
          metadata_reserve_buckets(superblock.bucket_count - superblock.first_data_bucket, superblock.slices) *
          superblock.bucket_blocks / superblock.slices) {
  for (u8 tree = 0; tree < format::tree_count; ++tree) {
    trees_[tree] = std::make_unique<btree::Tree>(nodes_, static_cast<TreeId>(tree));
  }
  nodes_.keep_resident(TreeId::alloc);
}

Task<Status> Slice::load(Missing missing, btree::NodesHeld& held) {
  if (missing.room) {
    held.release();
    return source_.make_room(id_);
  }
  held.begin(nodes_.pool());
  btree::Missing same;
  (void)tree(missing.tree).ready(missing.node.key, same);  // what leads there is in use: room is made of others
  if (forced(Point::nodes_evicted)) nodes_.pool().evict_all();
  nodes_.pool().make_room();
  return tree(missing.tree).load(metadata_, missing.node);
}

Task<Status> Slice::wait_to_apply(bool resident, Missing missing, btree::NodesHeld& held, u64 bytes, journal::Urgency urgency) {
  return resident ? wait_for_journal(held, bytes, urgency) : load(missing, held);
}

Task<Status> Slice::wait_for_journal(btree::NodesHeld& held, u64 bytes, journal::Urgency urgency) {
  held.release();
  const Status reserved = co_await stream_.reserve(bytes, urgency);
  if (reserved) stream_.unreserve(bytes);
  co_return reserved;
}

Task<Result<std::optional<std::vector<std::byte>>>> Slice::get(TreeId id, Key key) {
  while (true) {
    const btree::Lookup found = tree(id).find(key);
    if (found.state == btree::Lookup::State::missing) {
      btree::NodesHeld held;
      const Status loaded = co_await load({id, found.missing}, held);
      if (!loaded) co_return loaded.error();
      continue;
    }
    std::optional<std::vector<std::byte>> value;
    if (found.state == btree::Lookup::State::found) value.emplace(found.value.begin(), found.value.end());
    co_return value;
  }
}

bool Slice::ready(const Update& update, Missing& missing, Room room) {
  missing.room = room == Room::awaited && nodes_.claimed_nodes() + nodes_of_transaction > claimed_nodes_max_;
  if (missing.room) return false;
  missing.tree = update.tree;
  if (!tree(update.tree).ready(update.key, missing.node)) return false;
  if (update.tree == TreeId::inodes) {
    missing.tree = TreeId::orphans;
    return tree(TreeId::orphans).ready(update.key, missing.node);
  }
  if (update.tree != TreeId::extents) return true;

  missing.tree = TreeId::backpointers;
  btree::Tree& backpointers = tree(TreeId::backpointers);
  const auto pointer_ready = [&](ByteSpan value) {
    const Extent extent = format::decode_extent(value);
    return extent.kind != ExtentKind::data ||
           backpointers.ready(backpointer_key(extent.address), missing.node);
  };
  const btree::Lookup old = tree(TreeId::extents).find(update.key);
  if (old.state == btree::Lookup::State::found && !pointer_ready(old.value)) return false;
  return update.kind == UpdateKind::erase || pointer_ready(update.value);
}

void Slice::apply(const Update& update) {
  assert(!format::is_derived(update.tree) && !replaying_);
  stream_.append(id_, update.tree, update.kind, update.key, update.value);
  first_logged_ = std::min(first_logged_, stream_.current());
  change(update);
}

// The one place where trees change: live operations and replay both come here, so derived trees follow exactly.
void Slice::change(const Update& update) {
  if (update.tree == TreeId::extents) return change_extent(update);
  btree::Tree& primary = tree(update.tree);
  if (update.tree == TreeId::inodes) count_inode(update, primary.find(update.key));
  if (update.kind == UpdateKind::upsert) {
    primary.upsert(update.key, update.value);
  } else {
    primary.erase(update.key);
  }
}

void Slice::count_inode(const Update& update, const btree::Lookup& old) {
  const bool existed = old.state == btree::Lookup::State::found;
  const bool exists = update.kind == UpdateKind::upsert;
  inode_count_ += static_cast<u64>(exists) - static_cast<u64>(existed);
  const bool was_orphan = existed && wants_orphan(old.value);
  const bool is_orphan = exists && wants_orphan(update.value);
  if (is_orphan && !was_orphan) tree(TreeId::orphans).upsert(update.key, {});
  if (was_orphan && !is_orphan) tree(TreeId::orphans).erase(update.key);
}

void Slice::change_extent(const Update& update) {
  btree::Tree& extents = tree(TreeId::extents);
  const btree::Lookup old = extents.find(update.key);
  if (old.state == btree::Lookup::State::found) drop_extent_pointer(old.value);
  if (update.kind == UpdateKind::upsert) {
    add_extent_pointer(update.key, update.value);
    extents.upsert(update.key, update.value);
  } else {
    extents.erase(update.key);
  }
}

// An image with valid checksums may still hold extents that contradict each other or their buckets. A change that meets one
// cannot be undone half-way; so it goes by, and nothing after it becomes durable.
bool Slice::is_possible(Status pointer) {
  if (pointer) return true;
  Error error = pointer.error();
  error.place.slice = id_;
  error.place.tree = static_cast<u32>(TreeId::extents);
  stream_.stop(error);
  return false;
}

Key Slice::backpointer_key(Address address) const {
  return {format::bucket_of(address, bucket_blocks()).value, address.block() % bucket_blocks(), 0};
}

void Slice::drop_extent_pointer(ByteSpan value) {
  const Extent extent = format::decode_extent(value);
  if (extent.kind != ExtentKind::data) return;
  if (!is_possible(buckets_.check_live(extent.address, extent.blocks, extent.generation))) return;
  buckets_.remove_live(extent.address, extent.blocks, replaying_ ? replay_epoch_ : stream_.current());
  tree(TreeId::backpointers).erase(backpointer_key(extent.address));
}

void Slice::add_extent_pointer(const Key& key, ByteSpan value) {
  const Extent extent = format::decode_extent(value);
  if (extent.kind != ExtentKind::data) return;
  if (!is_possible(buckets_.check_pointer(extent.address, extent.blocks, extent.generation))) return;
  buckets_.add_live(extent.address, extent.blocks, extent.generation);
  format::BackpointerValue back;
  back.inode = key.inode;
  back.offset_and_blocks = key.offset << 8 | extent.blocks;
  tree(TreeId::backpointers).upsert(backpointer_key(extent.address), bytes_of(back));
}

Task<Result<bool>> Slice::lease_more(std::size_t count, Watermark watermark) {
  if (forced(Point::lease_single)) count = 1;
  const Result<LeaseGrant> grant = co_await source_.lease(id_, count, watermark);
  if (!grant) co_return grant.error();
  if (grant->buckets.empty()) co_return false;
  co_await stream_.reach(grant->epoch);
  for (BucketId bucket : grant->buckets) buckets_.adopt(bucket);
  co_return true;
}

Epoch Slice::oldest_needed() const { return std::min(first_logged_, first_logged_frozen_); }

}  // namespace cowfs::slice
