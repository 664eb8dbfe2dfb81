#include "engine/btree/node_cache.h"

#include "engine/btree/tree.h"

namespace cowfs::btree {

bool NodeCache::can_go(const Node& node) const {
  if (checkpoints_ != 0 || node.dirty_generation != 0 || node.removed) return false;
  if ((resident_trees_ >> static_cast<unsigned>(node.tree->id()) & 1) != 0) return false;
  for (const Node* child : node.children) {
    if (child != nullptr) return false;
  }
  return true;
}

bool NodeCache::evict(Node& node) {
  if (!can_go(node)) return false;
  node.tree->forget(node);
  put(&node);
  return true;
}

}  // namespace cowfs::btree
