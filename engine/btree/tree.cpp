// Finding and changing. A node knows its parent, and its place there by its first key: slot i of an interior node
// covers keys from its key to the next slot's, and resident children carry exactly that range. On the medium a
// child's range may be narrower than its slot (a neighbour was removed since); it is widened when it is read.
//
// Copy-on-write is done on images, not on nodes: when a node that a checkpoint has frozen is about to change, its image
// moves to a shadow. Nodes keep their addresses, so nothing above has to be cloned to point at a clone.
#include "engine/btree/tree.h"

#include <algorithm>
#include <utility>

#include "engine/base/points.h"

namespace cowfs::btree {

Tree::~Tree() {
  // Depth first, without recursion: a node goes when its children have gone.
  Node* node = root_;
  while (node != nullptr) {
    Node* child = nullptr;
    while (!node->children.empty() && child == nullptr) {
      child = node->children.back();
      node->children.pop_back();
    }
    if (child != nullptr) {
      node = child;
      continue;
    }
    Node* const parent = node->parent;
    discard(*node);
    node = parent;
  }
  for (Node* removed : removed_) discard(*removed);
  if (frozen_) cache_.checkpoint_ends();
}

// In whatever state it is: the engine may be thrown away in the middle of a checkpoint.
void Tree::discard(Node& node) {
  cache_.count_dirty(-i64{node.dirty_generation != 0} - i64{node.pending});
  if (node.shadow != nullptr) cache_.put(std::exchange(node.shadow, nullptr));
  cache_.put(&node);
}

void Tree::open(const Root& root) {
  assert(empty() && !frozen_ && dirty_nodes() == 0 && released_.empty());
  assert(root.level <= format::node_level_max);
  root_pointer_ = root.pointer;
  level_ = root.pointer.present() ? root.level : u8{0};
}

Node* Tree::descend(const Key& key, u8 level, Missing& missing) {
  Node* node = root_;
  if (node == nullptr) {
    if (!empty()) missing = {key, level_, true};
    return nullptr;
  }
  for (u8 at = level_; at > level; --at) {
    use(*node);
    Node* const child = node->children[node->child_slot(key)];
    if (child == nullptr) {
      missing = {key, static_cast<u8>(at - 1), true};
      return nullptr;
    }
    __builtin_prefetch(child->image());
    __builtin_prefetch(child);
    node = child;
  }
  use(*node);
  return node;
}

Node* Tree::resident_leaf(const Key& key) const {
  Node* node = root_;
  while (node != nullptr && !node->is_leaf()) node = node->children[node->child_slot(key)];
  return node;
}

// Writes only what changes: the line is shared with nobody, but it would have to be written back.
void Tree::use(Node& node) {
  const u64 now = cache_.pool().now();
  if (node.used_at != now) node.used_at = now;
  if (!node.referenced) node.referenced = true;
}

Node* Tree::leaf_of(const Key& key, Missing& missing) {
  for (Recent& recent : recent_) {
    if (recent.leaf == nullptr || !recent.leaf->covers(key)) continue;
    if (&recent != &recent_.front()) std::swap(recent, recent_.front());
    use(*recent_.front().leaf);
    return recent_.front().leaf;
  }
  Node* const leaf = descend(key, 0, missing);
  if (leaf != nullptr) remember(leaf);
  return leaf;
}

void Tree::remember(Node* leaf) {
  if (leaf == recent_.front().leaf) return;
  recent_.back() = recent_.front();
  recent_.front() = {leaf, Recent::no_slot};
}

// `leaf` was the one of `key`, not long ago: a node that was given back since has no tree, or is used for something else.
void Tree::expect(const Key& key, Node& leaf, u32 slot) {
  if (leaf.tree != this || leaf.removed || !leaf.is_leaf() || !leaf.covers(key)) return;
  remember(&leaf);
  recent_.front().slot = slot;
}

void Tree::forget_recent(const Node& leaf) {
  for (Recent& recent : recent_) {
    if (recent.leaf == &leaf) recent = {};
  }
}

// As leaf.lower_bound(key), for the leaf used last; quick when the last question was for a neighbour of `key`.
u32 Tree::slot_of(const Node& leaf, const Key& key) {
  assert(recent_.front().leaf == &leaf);
  const Slot* const slots = leaf.slots();
  const u32 count = leaf.count();
  u32& near = recent_.front().slot;
  if (near < count && (near == 0 || is_less(slots[near - 1], key))) {
    if (!is_less(slots[near], key)) return near;
    if (near + 1 == count || !is_less(slots[near + 1], key)) return ++near;
  }
  return near = leaf.lower_bound(key);
}

Lookup Tree::find(const Key& key) {
  Lookup result;
  const Node* const leaf = leaf_of(key, result.missing);
  if (leaf == nullptr) {
    if (result.missing) result.state = Lookup::State::missing;
    return result;
  }
  const u32 slot = slot_of(*leaf, key);
  if (slot == leaf->count() || leaf->key(slot) != key) return result;
  result.state = Lookup::State::found;
  result.value = leaf->value(slot);
  return result;
}

bool Tree::ready(const Key& key, Missing& missing) {
  missing = {};
  return leaf_of(key, missing) != nullptr || !missing;
}

Node* Tree::leaf_for_change(const Key& key) {
  Missing missing;
  Node* const leaf = leaf_of(key, missing);
  assert(!missing);  // ready(key) was asked before
  return leaf;
}

void Tree::upsert(const Key& key, ByteSpan value) {
  assert(value.size() <= format::node_value_bytes_max);
  Node* const leaf = leaf_for_change(key);
  if (leaf == nullptr) return plant(key, value);
  touch(*leaf);
  const u32 slot = slot_of(*leaf, key);
  if (slot < leaf->count() && leaf->key(slot) == key) {
    if (leaf->fits_instead(slot, value.size())) return leaf->replace(slot, value);
  } else if (leaf->fits(value.size(), fill().fill)) {
    return leaf->insert(slot, key, value);
  }
  upsert_slow(*leaf, key, value);
}

void Tree::plant(const Key& key, ByteSpan value) {
  root_ = cache_.take();
  root_->tree = this;
  root_->reset(identity_, 0, format::key_min, format::key_max);
  level_ = 0;
  make_dirty(*root_);
  root_->insert(0, key, value);
}

void Tree::upsert_slow(Node& leaf, const Key& key, ByteSpan value) {
  std::array<std::byte, format::node_value_bytes_max> copy;  // `value` may be in a node that is about to move
  if (!value.empty()) std::memcpy(copy.data(), value.data(), value.size());
  value = ByteSpan(copy.data(), value.size());

  u32 slot = leaf.lower_bound(key);
  if (slot < leaf.count() && leaf.key(slot) == key) leaf.remove(slot);
  Node* target = &leaf;
  if (!has_room(leaf, value.size())) {
    // Keys that arrive in order fill leaves to the brim; all others leave two halves.
    Node& right = slot == leaf.count() ? append_sibling(leaf, key) : split(leaf, leaf.middle());
    if (right.first() <= key) target = &right;
    slot = target->lower_bound(key);
  }
  target->insert(slot, key, value);
  remember(target);
  if (paranoid()) check_invariants();
}

// A single key may fill a node, and stays alone in it.
bool Tree::has_room(const Node& node, std::size_t value_bytes) const {
  return node.fits(value_bytes, fill().fill) || (node.count() < 2 && node.fits(value_bytes));
}

Node& Tree::split(Node& node, u32 at) {
  Node& right = append_sibling(node, node.key(at));
  node.move_tail(at, right);
  return right;
}

// An empty right neighbour from `first` on. It must get something before anyone looks.
Node& Tree::append_sibling(Node& node, const Key& first) {
  Node& right = *cache_.take();
  right.tree = this;
  right.reset(identity_, node.level(), first, node.last());
  node.set_last(predecessor(first));
  attach_right(node, right);
  return right;
}

void Tree::attach_right(Node& node, Node& right) {
  if (node.parent == nullptr) grow_root();
  Node* parent = node.parent;
  touch(*parent);
  u32 slot = slot_in_parent(node) + 1;
  if (!has_room(*parent, sizeof(NodePointer))) {
    reached(Point::inner_node_split);
    const bool at_end = slot == parent->count();
    Node& other = at_end ? append_sibling(*parent, right.first()) : split(*parent, parent->middle());
    if (other.first() <= right.first()) parent = &other;
    slot = parent->lower_bound(right.first());
  }
  const NodePointer not_written{};
  parent->insert(slot, right.first(), bytes_of(not_written));
  parent->children.insert(parent->children.begin() + slot, &right);
  right.parent = parent;
  make_dirty(right);
}

void Tree::grow_root() {
  assert(level_ < format::node_level_max);
  Node& old = *root_;
  Node& root = *cache_.take();
  root.tree = this;
  root.reset(identity_, static_cast<u8>(level_ + 1), format::key_min, format::key_max);
  root.insert(0, format::key_min, bytes_of(old.location));
  root.children.push_back(&old);
  old.parent = &root;
  root_ = &root;
  ++level_;
  make_dirty(root);
}

bool Tree::erase(const Key& key) {
  Node* const leaf = leaf_for_change(key);
  if (leaf == nullptr) return false;
  const u32 slot = slot_of(*leaf, key);
  if (slot == leaf->count() || leaf->key(slot) != key) return false;
  touch(*leaf);
  leaf->remove(slot);
  if (leaf->used_bytes() < fill().merge_below) shrink(*leaf);
  return true;
}

void Tree::shrink(Node& node) {
  if (node.count() == 0) {
    remove_empty(node);
  } else if (node.parent == nullptr) {
    collapse_root();
  } else {
    merge_with_sibling(node);
  }
  if (paranoid()) check_invariants();
}

bool Tree::merge_with_sibling(Node& node) {
  if (node.used_bytes() >= fill().merge_below) return false;
  Node& parent = *node.parent;
  const u32 slot = slot_in_parent(node);
  Node* const right = slot + 1 < parent.count() ? parent.children[slot + 1] : nullptr;
  if (right != nullptr && node.used_bytes() + right->used_bytes() <= fill().merged_max) {
    merge(node, *right, slot + 1);
    return true;
  }
  Node* const left = slot > 0 ? parent.children[slot - 1] : nullptr;
  if (left != nullptr && left->used_bytes() + node.used_bytes() <= fill().merged_max) {
    merge(*left, node, slot);
    return true;
  }
  return false;
}

void Tree::merge(Node& left, Node& right, u32 right_slot) {
  Node& parent = *left.parent;
  touch(left);
  touch(right);  // its image changes: the slots leave
  touch(parent);
  right.move_tail(0, left);
  left.set_last(right.last());
  parent.remove(right_slot);
  parent.children.erase(parent.children.begin() + right_slot);
  retire(right);
  shrink(parent);
}

void Tree::remove_empty(Node& node) {
  if (!node.is_leaf() || has_heir(node)) return take_out(node);
  reached(Point::empty_leaf_kept);
  if (std::find(empty_.begin(), empty_.end(), &node) == empty_.end()) empty_.push_back(&node);
}

// True when the leaf that covers the range of `leaf` once that is taken out is resident. Otherwise `leaf` has to stay: of
// what was ready() nothing becomes missing.
bool Tree::has_heir(const Node& leaf) const {
  const Node* node = &leaf;
  while (node->parent != nullptr && node->parent->count() == 1) node = node->parent;
  if (node->parent == nullptr) return true;  // nothing is left
  const u32 slot = slot_in_parent(*node);
  const Node* heir = node->parent->children[slot > 0 ? slot - 1 : 1];
  while (heir != nullptr && !heir->is_leaf()) heir = slot > 0 ? heir->children.back() : heir->children.front();
  return heir != nullptr;
}

// Leaves that stayed without keys and still have none.
void Tree::take_out_empty() {
  for (Node* leaf : std::exchange(empty_, {})) {
    if (leaf->count() == 0) take_out(*leaf);
  }
}

// Takes an empty node out. A neighbour in the same parent covers its range from now on.
void Tree::take_out(Node& node) {
  Node* const parent = node.parent;
  if (parent == nullptr) {
    root_ = nullptr;
    root_pointer_ = {};
    level_ = 0;
    retire(node);
    return;
  }
  touch(*parent);
  const u32 slot = slot_in_parent(node);
  const Key first = node.first();
  const Key last = node.last();
  parent->remove(slot);
  parent->children.erase(parent->children.begin() + slot);
  retire(node);
  if (parent->count() > 0) {
    if (slot > 0) {
      widen_last(parent->children[slot - 1], last);
    } else {
      parent->set_key(0, first);
      widen_first(parent->children[0], first);
    }
  }
  shrink(*parent);
}

void Tree::collapse_root() {
  while (root_ != nullptr && !root_->is_leaf() && root_->count() == 1) {
    reached(Point::root_collapsed);
    Node& old = *root_;
    Node* const child = old.children[0];
    root_pointer_ = old.pointer(0);
    root_ = child;
    --level_;
    if (child != nullptr) child->parent = nullptr;
    retire(old);
  }
}

// Ranges in memory follow the parent's slots. Widening alone does not make a node dirty: on the medium a range may be
// narrower. A frozen image must not get wider than its frozen parent's slot, though, so that one is kept. What a hold has
// seen of the range is there from now on, so the hold is of these nodes, too.
void Tree::widen_last(Node* node, const Key& last) {
  while (node != nullptr) {
    use(*node);
    if (is_pending(*node)) keep_frozen_range(*node);
    node->set_last(last);
    node = node->is_leaf() ? nullptr : node->children.back();
  }
}

void Tree::widen_first(Node* node, const Key& first) {
  while (node != nullptr) {
    use(*node);
    if (is_pending(*node)) keep_frozen_range(*node);
    node->set_first(first);
    if (node->is_leaf()) return;
    node->set_key(0, first);
    node = node->children[0];
  }
}

void Tree::keep_frozen_range(Node& node) {
  reached(Point::frozen_range_widened);
  touch(node);
}

u32 Tree::slot_in_parent(const Node& node) const {
  const u32 slot = node.parent->child_slot(node.first());
  assert(node.parent->children[slot] == &node);
  return slot;
}

void Tree::retire(Node& node) {
  forget_recent(node);
  std::erase(empty_, &node);
  // The running checkpoint knows nothing of a node that is younger than it.
  const bool is_young = !node.location.present() && !is_pending(node);
  if (frozen_ && !is_young) {
    reached(Point::frozen_node_dropped);
    node.pending = is_pending(node);
    if (node.dirty_generation == generation_) drop_dirty(node);
    node.dirty_generation = 0;
    node.removed = true;
    node.parent = nullptr;
    removed_.push_back(&node);
    return;
  }
  if (node.dirty_generation != 0) drop_dirty(node);
  if (node.location.present()) released_.push_back(node.location);
  cache_.put(&node);
}

void Tree::forget(Node& node) {
  forget_recent(node);
  if (node.parent == nullptr) {
    root_ = nullptr;
    root_pointer_ = node.location;
    return;
  }
  node.parent->children[slot_in_parent(node)] = nullptr;
}

}  // namespace cowfs::btree
