// A chunk is aligned to its size, so that a node finds its image and an image's chunk by masking. One chunk is one huge
// page where the kernel grants it: a random lookup misses the TLB once a level at most.
#include "engine/btree/node_cache.h"

#include <sys/mman.h>

#include <new>
#include <utility>

#include "engine/btree/tree.h"

namespace cowfs::btree {

NodeCache::~NodeCache() {
  for (std::byte* chunk : chunks_) {
    for (u32 index = 0; index < nodes_per_chunk; ++index) node_of(chunk, index)->~Node();
    munmap(chunk, Node::chunk_bytes);
  }
}

void NodeCache::add_chunk() {
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
}

Node* NodeCache::take() {
  if (free_ == nullptr) add_chunk();
  Node* const node = free_;
  free_ = std::exchange(node->parent, nullptr);
  node->in_use = true;
  ++used_;
  return node;
}

void NodeCache::put(Node* node) {
  assert(node->in_use && node->shadow == nullptr);
  node->~Node();
  new (node) Node;
  node->parent = free_;
  free_ = node;
  --used_;
}

bool NodeCache::can_go(const Node& node) const {
  if (node.tree == nullptr || node.dirty_generation != 0 || node.removed) return false;
  if ((resident_trees_ >> static_cast<unsigned>(node.tree->id()) & 1) != 0) return false;
  for (const Node* child : node.children) {
    if (child != nullptr) return false;
  }
  return true;
}

u64 NodeCache::evict() {
  if (checkpoints_ != 0) return 0;
  const u64 nodes = chunks_.size() * nodes_per_chunk;
  u64 freed = 0;
  // Two rounds clear every reference bit once; a parent whose children went may need one more.
  for (u64 step = 0; step < 3 * nodes && is_over_budget(); ++step) {
    clock_ = clock_ + 1 < nodes ? clock_ + 1 : 0;
    Node* const node = node_of(chunks_[clock_ / nodes_per_chunk], static_cast<u32>(clock_ % nodes_per_chunk));
    if (!node->in_use) continue;
    if (std::exchange(node->referenced, false)) continue;
    if (!can_go(*node)) continue;
    node->tree->forget(*node);
    put(node);
    ++freed;
  }
  return freed;
}

}  // namespace cowfs::btree
