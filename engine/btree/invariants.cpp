#include <algorithm>

#include "engine/btree/tree.h"

namespace cowfs::btree {

namespace {

void check_image_order(const Node& node) {
  u32 live_bytes = 0;
  for (u32 slot = 0; slot < node.count(); ++slot) {
    assert(node.first() <= node.key(slot) && node.key(slot) <= node.last());
    assert(slot == 0 || node.key(slot - 1) < node.key(slot));
    const ByteSpan value = node.value(slot);
    assert(value.data() >= node.image() + sizeof(NodeHeader) + node.count() * sizeof(Slot));
    assert(value.data() + value.size() <= node.image() + format::node_bytes);
    live_bytes += static_cast<u32>(value.size());
  }
  assert(node.used_bytes() == live_bytes + node.count() * sizeof(Slot));
}

}  // namespace

void Tree::check_node(const Node& node) const {
  assert(node.in_use && !node.removed && node.tree == this);
  assert(node.header().level == node.level() && node.level() <= level_);
  assert(node.count() > 0 || std::find(empty_.begin(), empty_.end(), &node) != empty_.end());
  check_image_order(node);
  if (node.dirty_generation == generation_) {
    assert(dirty_[node.level()].at(node.dirty_index) == &node);
    assert(node.parent == nullptr || node.parent->dirty_generation == generation_);
  } else {
    assert(!node.pending && node.shadow == nullptr);
    assert(node.dirty_generation == 0 || frozen_);
    assert(node.dirty_generation != 0 || node.location.present());
  }
  if (node.is_leaf()) return assert(node.children.empty());

  assert(node.children.size() == node.count());
  assert(node.key(0) == node.first());
  for (u32 slot = 0; slot < node.count(); ++slot) {
    const NodePointer pointer = node.pointer(slot);
    const Node* const child = node.children[slot];
    if (child == nullptr) {
      assert(pointer.present());
      continue;
    }
    assert(child->parent == &node && child->level() + 1 == node.level());
    assert(child->first() == node.key(slot) && child->last() == node.slot_last(slot));
    assert(std::memcmp(&pointer, &child->location, sizeof pointer) == 0);
  }
}

void Tree::check_invariants() const {
  if (root_ == nullptr) return assert(dirty_nodes() == 0 && recent_.front().leaf == nullptr && recent_.back().leaf == nullptr);
  assert(root_->parent == nullptr && root_->level() == level_);
  assert(root_->first() == format::key_min && root_->last() == format::key_max);
  u64 dirty = 0;
  std::vector<const Node*> todo{root_};
  while (!todo.empty()) {
    const Node* const node = todo.back();
    todo.pop_back();
    check_node(*node);
    dirty += node->dirty_generation == generation_;
    for (const Node* child : node->children) {
      if (child != nullptr) todo.push_back(child);
    }
  }
  assert(dirty == dirty_nodes());
}

}  // namespace cowfs::btree
