// A chunk is aligned to its size, so that a node finds its image and an image's chunk by masking. One chunk is one huge
// page where the kernel grants it: a random lookup misses the TLB once a level at most.
#include "engine/btree/node_pool.h"

#include <sys/mman.h>

#include <new>
#include <utility>

#include "engine/base/points.h"
#include "engine/btree/tree.h"

namespace cowfs::btree {

NodePool::~NodePool() {
  assert(used_ == 0 && caches_ == 0);
  for (std::byte* chunk : chunks_) {
    for (u32 index = 0; index < nodes_per_chunk; ++index) node_of(chunk, index)->~Node();
    munmap(chunk, Node::chunk_bytes);
  }
}

std::byte* NodePool::add_chunk() {
  const u64 bytes = Node::chunk_bytes;
  void* const mapped = mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert(mapped != MAP_FAILED);
  const u64 begin = reinterpret_cast<u64>(mapped);
  const u64 aligned = round_up(begin, bytes);
  if (aligned != begin) munmap(mapped, aligned - begin);
  munmap(reinterpret_cast<void*>(aligned + bytes), begin + bytes - aligned);
  std::byte* const chunk = reinterpret_cast<std::byte*>(aligned);
  madvise(chunk, bytes, MADV_HUGEPAGE);  // an advice: small pages work as well
  chunks_.push_back(chunk);
  for (u32 index = nodes_per_chunk; index-- > 0;) {
    Node* const node = new (node_of(chunk, index)) Node;
    node->parent = free_;
    free_ = node;
  }
  return chunk;
}

bool NodePool::populate_some() {
  if ((chunks_.size() + 1) * nodes_per_chunk > budget_nodes_) return false;
  madvise(add_chunk(), Node::chunk_bytes, MADV_POPULATE_WRITE);
  return true;
}

Node* NodePool::take() {
  if (free_ == nullptr) add_chunk();
  Node* const node = free_;
  free_ = std::exchange(node->parent, nullptr);
  node->in_use = true;
  node->used_at = now_;
  ++used_;
  return node;
}

void NodePool::put(Node* node) {
  assert(node->in_use && node->shadow == nullptr);
  node->~Node();
  new (node) Node;
  node->parent = free_;
  free_ = node;
  --used_;
}

u64 NodePool::evict() {
  // Two rounds clear every reference bit once; a parent whose children went may need one more.
  return pass(3 * chunks_.size() * nodes_per_chunk);
}

void NodePool::evict_all() {
  const u64 budget = std::exchange(budget_nodes_, 0);
  evict();
  budget_nodes_ = budget;
}

u64 NodePool::pass(u64 steps) {
  const u64 nodes = chunks_.size() * nodes_per_chunk;
  u64 freed = 0;
  for (; steps > 0 && used_ > budget_nodes_; --steps) {
    clock_ = clock_ + 1 < nodes ? clock_ + 1 : 0;
    freed += try_evict(*node_of(chunks_[clock_ / nodes_per_chunk], static_cast<u32>(clock_ % nodes_per_chunk)));
  }
  return freed;
}

bool NodePool::try_evict(Node& node) {
  if (node.tree == nullptr) return false;  // free, a shadow or a buffer
  if (is_held(node)) {
    if (node.dirty_generation == 0) reached(Point::held_node_spared);
    return false;
  }
  NodeCache& owner = node.tree->cache();
  if (owner.resident_nodes() * caches_ <= budget_nodes_) return false;
  if (std::exchange(node.referenced, false)) return false;
  return owner.evict(node);
}

bool NodePool::is_held(const Node& node) const { return oldest_ != nullptr && node.used_at >= oldest_->since_; }

void NodesHeld::begin(NodePool& pool) {
  if (pool_ != nullptr) return;
  pool_ = &pool;
  since_ = ++pool.now_;
  older_ = std::exchange(pool.newest_, this);
  (older_ != nullptr ? older_->newer_ : pool.oldest_) = this;
}

void NodesHeld::release() {
  if (pool_ == nullptr) return;
  (older_ != nullptr ? older_->newer_ : pool_->oldest_) = newer_;
  (newer_ != nullptr ? newer_->older_ : pool_->newest_) = older_;
  pool_ = nullptr;
  older_ = newer_ = nullptr;
}

}  // namespace cowfs::btree
