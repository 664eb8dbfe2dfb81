// The memory for the nodes of one core: 16 KiB images on huge pages, allocated by the chunk and recycled. The caches of the
// core's slices take from it without a limit of their own; when the budget is passed, nodes go from those caches that hold
// more than an even part of it, by one clock over all nodes.
//
// One core; not thread-safe. Chunks are never given back before the pool goes.
#pragma once
#include <vector>

#include "engine/btree/node.h"

namespace cowfs::btree {

class NodesHeld;

// How full nodes get, in bytes of slots and values. One that would pass `fill` is split; one that is emptier than `merge_below`
// looks for a neighbour to join, and the joint node has room for as much again.
struct NodeFill {
  constexpr explicit NodeFill(u32 fill_bytes = Node::capacity_bytes)
      : fill(fill_bytes), merge_below(fill_bytes * 3 / 10), merged_max(fill_bytes * 6 / 10) {}
  u32 fill;
  u32 merge_below;
  u32 merged_max;
};

class NodePool {
 public:
  explicit NodePool(Bytes budget, NodeFill fill = NodeFill{})
      : fill_(fill), budget_nodes_(budget.value / format::node_bytes) {}
  NodePool(const NodePool&) = delete;
  NodePool& operator=(const NodePool&) = delete;
  ~NodePool();

  // Frees clean nodes that were not used since the clock came by. Both end every Lookup and Cursor of the core.
  // Until the budget holds or nothing more can go. Returns how many it freed.
  u64 evict();
  // Whatever may go, whether there is room or not.
  void evict_all();
  // Before a node is brought in; looks at so many others at most, however many there are.
  void make_room() { pass(steps_per_admission); }
  bool is_over_budget() const { return used_ > budget_nodes_; }
  void set_budget(Bytes budget) { budget_nodes_ = budget.value / format::node_bytes; }

  // Brings the next part of the budget into memory before it is needed. False when there is no more.
  bool populate_some();
  Bytes resident_bytes() const { return {used_ * format::node_bytes}; }

  // For caches: a node whose image is undefined, belonging to no tree yet.
  Node* take();
  void put(Node* node);
  void join() { ++caches_; }
  void leave() { --caches_; }
  bool is_held(const Node& node) const;
  const NodeFill& fill() const { return fill_; }
  // For trees: the mark of what is used now.
  u64 now() const { return now_; }

 private:
  friend class NodesHeld;
  // A chunk is 2 MiB: one image's worth of Node, then as many images.
  static constexpr u32 nodes_per_chunk = Node::chunk_bytes / format::node_bytes - 1;
  static constexpr u64 steps_per_admission = 256;
  static Node* node_of(std::byte* chunk, u32 index) { return reinterpret_cast<Node*>(chunk) + index; }

  std::byte* add_chunk();
  u64 pass(u64 steps);
  bool try_evict(Node& node);

  const NodeFill fill_;
  u64 budget_nodes_;
  std::vector<std::byte*> chunks_;
  Node* free_ = nullptr;
  u64 used_ = 0;
  u64 caches_ = 0;
  u64 clock_ = 0;  // over all nodes of all chunks
  u64 now_ = 0;    // holds that have begun
  NodesHeld* oldest_ = nullptr;
  NodesHeld* newest_ = nullptr;
};

// What a transaction has loaded stays until it is applied: from begin() on, nothing goes that is loaded, used or changed.
// Without it, tasks that need several nodes at the same time could load for ever what the others have just evicted.
// Meanwhile the pool may pass its budget by all that its core uses. So a hold ends before a wait that is not for nodes; the
// next node that is brought in, or the next checkpoint, brings the budget back.
class NodesHeld {
 public:
  NodesHeld() = default;
  NodesHeld(const NodesHeld&) = delete;
  NodesHeld& operator=(const NodesHeld&) = delete;
  ~NodesHeld() { release(); }
  // Without effect when it has begun. `pool` outlives the hold.
  void begin(NodePool& pool);
  void release();

 private:
  friend class NodePool;
  NodePool* pool_ = nullptr;  // null: nothing is held
  NodesHeld* older_ = nullptr;
  NodesHeld* newer_ = nullptr;
  u64 since_ = 0;
};

}  // namespace cowfs::btree
