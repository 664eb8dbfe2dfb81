// Whose the empty buckets of a slice are. A checkpoint must always fit: it alone makes the journal free, and without it nothing can be
// removed. So each node claims its place in the next one before it becomes dirty.
#include "engine/slice/slice.h"

#include <algorithm>

namespace cowfs::slice {

namespace {

constexpr u64 leaves_of_block = 3;  // of the extents tree, and of backpointers where it lies and where it lay
constexpr u64 nodes_allowed_at_once = 16;
constexpr u64 checkpoint_pays_blocks = 16;

}  // namespace

bool Slice::allow_changes() {
  if (!may_take(Watermark::changes)) return false;
  claimed_nodes_max_ = nodes_.claimed_nodes() + nodes_of_transaction + nodes_allowed_at_once;
  return true;
}

u64 Slice::dirty_blocks_bound() const {
  u64 blocks = 0;
  for (const auto& one : trees_) blocks += one->dirty_blocks_bound();
  return blocks;
}

// What is dirty, what a running checkpoint has yet to write, and what was allowed to become dirty.
u64 Slice::claimed_blocks() const {
  const u64 claimed = nodes_.claimed_nodes();
  const u64 allowed = claimed_nodes_max_ == unlimited ? 0 : claimed_nodes_max_ - std::min(claimed, claimed_nodes_max_);
  return (nodes_.dirty_nodes() + allowed) * format::node_blocks_max;
}

// What a checkpoint of `node_blocks` of nodes takes, with its list of buckets.
u64 Slice::checkpoint_blocks(u64 node_blocks) const {
  const u64 blocks = checkpoint_slack_blocks + node_blocks;
  return blocks + blocks / 4 + (metadata_.bucket_count() + 64) * sizeof(format::MetadataBucket) / block_bytes + 1;
}

// Empty ones that a checkpoint of what is dirty takes.
std::size_t Slice::buckets_for_checkpoint(u64 dirty_blocks) const {
  const u64 wanted = checkpoint_blocks(dirty_blocks);
  const u64 room = metadata_.room_blocks();
  return wanted <= room ? 0 : (wanted - room - 1) / (bucket_blocks() - format::node_blocks_max) + 1;
}

// What metadata may come to hold, less what it holds: a checkpoint moves buckets from one to the other and back, and changes
// nothing in their sum. What a checkpoint writes comes on top of what lives: all nodes when all are dirty; before the next bucket
// of data is full, no more than are dirty now and those that its blocks touch; and what is kept back for it, when names have made
// metadata large. One bucket is being filled.
std::size_t Slice::buckets_for_metadata(u64 dirty_blocks) const {
  const u64 live = metadata_.settled_blocks();
  const u64 soon = dirty_blocks + bucket_blocks() * leaves_of_block * format::node_blocks_max;
  const u64 rewritten = std::min(checkpoint_blocks(std::min(live + live / 2, soon)), metadata_reserve_blocks_);
  const u64 written = std::max(rewritten, checkpoint_blocks(dirty_blocks));
  const u64 wanted = (metadata_blocks_held(live) + written) / (bucket_blocks() - format::node_blocks_max) + 2;
  const u64 staying = metadata_.bucket_count() - metadata_.count_beyond();
  return wanted - std::min(wanted, staying);
}

std::size_t Slice::kept_back(Watermark watermark) const {
  const bool for_changes = watermark == Watermark::changes;
  return kept_back(watermark, for_changes ? nodes_.dirty_nodes() * format::node_blocks_max : claimed_blocks());
}

std::size_t Slice::kept_back(Watermark watermark, u64 dirty_blocks) const {
  constexpr u64 allowed_blocks = (nodes_of_transaction + nodes_allowed_at_once) * format::node_blocks_max;
  const std::size_t for_changes = buckets_for_checkpoint(dirty_blocks + allowed_blocks) + buckets_for_moved_nodes;
  switch (watermark) {
    case Watermark::user:
      return buckets_for_copygc + std::max(buckets_for_metadata(dirty_blocks), for_changes);
    case Watermark::changes:
      return buckets_for_copygc + for_changes - 1;  // none is taken
    case Watermark::copygc:
      return buckets_for_checkpoint(dirty_blocks);
    case Watermark::metadata:
      break;
  }
  return 0;
}

std::size_t Slice::lacking(Watermark watermark) const {
  const std::size_t wanted = kept_back(watermark) + 1;
  return wanted - std::min(wanted, buckets_.empty_count());
}

bool Slice::checkpoint_makes_room(Watermark watermark) const {
  if (may_take(watermark)) return false;
  if (watermark == Watermark::changes) return nodes_.dirty_nodes() > 0 || !metadata_.emptiest_buckets().empty();
  return buckets_.empty_count() > kept_back(watermark, 0);
}

// Beside what is claimed, one of `node_blocks` more would leave so many to write into.
u64 Slice::blocks_left_by_checkpoint(u64 node_blocks) const {
  const u64 empty = buckets_.empty_count() - std::min(buckets_.empty_count(), buckets_for_copygc);
  const u64 room = metadata_.room_blocks() + empty * (bucket_blocks() - format::node_blocks_max);
  return room - std::min(room, checkpoint_blocks(claimed_blocks() + node_blocks));
}

// The bucket that is being filled is nobody's.
u64 Slice::metadata_claim_blocks() const {
  const u64 live = metadata_.settled_blocks() + nodes_.dirty_nodes() * format::node_blocks_max;
  const u64 held = metadata_blocks_held(live);
  return std::max(metadata_.full_buckets() * bucket_blocks(), held - std::min(held, bucket_blocks()));
}

bool Slice::checkpoint_frees_metadata() const {
  const bool dirty_counts = metadata_claim_blocks() > metadata_.full_buckets() * bucket_blocks();
  if (dirty_counts && nodes_.dirty_nodes() * format::node_blocks_max >= checkpoint_pays_blocks) return true;
  std::vector<format::NodePointer> released;
  for (const auto& one : trees_) released.insert(released.end(), one->released().begin(), one->released().end());
  return metadata_.shrinks_without(released);
}

}  // namespace cowfs::slice
