// The nodes of all trees of one slice, in the memory that the slices of a core share. One core; not thread-safe.
#pragma once
#include "engine/btree/node_pool.h"

namespace cowfs::btree {

class NodeCache {
 public:
  // `base`: filesystem and slice of every node; its tree is ignored. `pool` outlives the cache. `checksum_kind`: of nodes that
  // are written.
  NodeCache(format::NodeIdentity base, NodePool& pool, ChecksumKind checksum_kind = ChecksumKind::crc32c)
      : base_(base), pool_(pool), checksum_kind_(checksum_kind) {
    pool_.join();
  }
  NodeCache(const NodeCache&) = delete;
  NodeCache& operator=(const NodeCache&) = delete;
  ~NodeCache() {
    assert(used_ == 0);
    pool_.leave();
  }

  NodePool& pool() { return pool_; }
  // Nodes of this tree are never evicted.
  void keep_resident(format::TreeId tree) { resident_trees_ |= 1ull << static_cast<unsigned>(tree); }

  u64 resident_nodes() const { return used_; }  // with the copies and buffers of checkpoints and loads
  u64 dirty_nodes() const { return dirty_; }
  Bytes resident_bytes() const { return {used_ * format::node_bytes}; }

  // For trees: a node whose image is undefined, belonging to no tree yet.
  Node* take() {
    ++used_;
    return pool_.take();
  }
  void put(Node* node) {
    --used_;
    pool_.put(node);
  }
  u8 checksum_kind() const { return static_cast<u8>(checksum_kind_); }
  format::NodeIdentity identity(format::TreeId tree) const { return {base_.filesystem, base_.slice, tree}; }
  // Grows with each node that becomes dirty, and shrinks when one goes that was not written: by as much, more room is claimed on the
  // medium than before.
  u64 claimed_nodes() const { return claimed_; }

  void count_dirty(i64 by) {
    dirty_ += static_cast<u64>(by);
    claimed_ += static_cast<u64>(by);
  }
  void count_written() { --dirty_; }
  void checkpoint_begins() { ++checkpoints_; }
  void checkpoint_ends() { --checkpoints_; }

  // For the pool. False: the node has to stay; all of them do while a checkpoint runs.
  bool evict(Node& node);

 private:
  bool can_go(const Node& node) const;

  format::NodeIdentity base_;
  NodePool& pool_;
  ChecksumKind checksum_kind_;
  u64 used_ = 0;
  u64 dirty_ = 0;
  u64 claimed_ = 0;
  u32 checkpoints_ = 0;
  u64 resident_trees_ = 0;  // a bit for each TreeId
};

// Returns a node to its cache at the end of the scope, unless released.
class NodeHold {
 public:
  explicit NodeHold(NodeCache& cache) : cache_(&cache), node_(cache.take()) {}
  NodeHold(const NodeHold&) = delete;
  NodeHold& operator=(const NodeHold&) = delete;
  ~NodeHold() {
    if (node_ != nullptr) cache_->put(node_);
  }
  Node* operator->() const { return node_; }
  Node* release() { return std::exchange(node_, nullptr); }

 private:
  NodeCache* cache_;
  Node* node_;
};

}  // namespace cowfs::btree
