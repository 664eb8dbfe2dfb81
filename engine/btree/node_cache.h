// Owns the nodes of all trees of one slice: 16 KiB images on huge pages, allocated by the chunk and recycled.
// One core; not thread-safe. Chunks are never given back before the cache goes.
#pragma once
#include <vector>

#include "engine/btree/node.h"

namespace cowfs::btree {

class NodeCache {
 public:
  // `base`: filesystem and slice of every node; its tree is ignored. `budget`: of resident images.
  NodeCache(format::NodeIdentity base, Bytes budget) : base_(base), budget_(budget) {}
  NodeCache(const NodeCache&) = delete;
  NodeCache& operator=(const NodeCache&) = delete;
  ~NodeCache();

  // Frees clean nodes that were not used since the clock came by, until the budget holds or nothing more can go.
  // Does nothing while a checkpoint runs. Ends every Missing, Lookup and Cursor. Returns how many nodes it freed.
  u64 evict();
  bool is_over_budget() const { return resident_bytes().value > budget_.value; }
  void set_budget(Bytes budget) { budget_ = budget; }
  // Nodes of this tree are never evicted.
  void keep_resident(format::TreeId tree) { resident_trees_ |= 1ull << static_cast<unsigned>(tree); }

  u64 resident_nodes() const { return used_; }  // with the copies and buffers of checkpoints and loads
  u64 dirty_nodes() const { return dirty_; }
  Bytes resident_bytes() const { return {used_ * format::node_bytes}; }
  Bytes dirty_bytes() const { return {dirty_ * format::node_bytes}; }

  // For trees: a node whose image is undefined, belonging to no tree yet.
  Node* take();
  void put(Node* node);
  format::NodeIdentity identity(format::TreeId tree) const { return {base_.filesystem, base_.slice, tree}; }
  void count_dirty(i64 by) { dirty_ += static_cast<u64>(by); }
  void checkpoint_begins() { ++checkpoints_; }
  void checkpoint_ends() { --checkpoints_; }

 private:
  // A chunk is 2 MiB: one image's worth of Node, then as many images.
  static constexpr u32 nodes_per_chunk = Node::chunk_bytes / format::node_bytes - 1;
  static Node* node_of(std::byte* chunk, u32 index) { return reinterpret_cast<Node*>(chunk) + index; }

  void add_chunk();
  bool can_go(const Node& node) const;

  format::NodeIdentity base_;
  Bytes budget_;
  std::vector<std::byte*> chunks_;
  Node* free_ = nullptr;
  u64 used_ = 0;
  u64 dirty_ = 0;
  u64 clock_ = 0;  // over all nodes of all chunks
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
