// Leaves are not chained: a chain would have to be patched by every split, merge and clone, and stepping from leaf to
// leaf through the parent costs little at hundreds of keys a leaf.
#include "engine/btree/cursor.h"

namespace cowfs::btree {

Cursor Tree::seek(const Key& key) {
  Cursor cursor(*this);
  cursor.leaf_ = leaf_of(key, cursor.missing_);
  if (cursor.leaf_ == nullptr) {
    cursor.stop();
    return cursor;
  }
  cursor.slot_ = slot_of(*cursor.leaf_, key);
  cursor.state_ = Cursor::State::valid;
  if (cursor.slot_ == cursor.leaf_->count()) cursor.step_right();
  return cursor;
}

Cursor Tree::seek_before(const Key& key) {
  Cursor cursor(*this);
  cursor.leaf_ = leaf_of(key, cursor.missing_);
  if (cursor.leaf_ == nullptr) {
    cursor.stop();
    return cursor;
  }
  cursor.slot_ = slot_of(*cursor.leaf_, key);
  cursor.state_ = Cursor::State::valid;
  if (cursor.slot_ < cursor.leaf_->count() && cursor.leaf_->key(cursor.slot_) == key) return cursor;
  if (cursor.slot_-- == 0) cursor.step_left();
  return cursor;
}

void Cursor::stop() {
  leaf_ = nullptr;
  state_ = missing_ ? State::missing : State::end;
}

void Cursor::step_right() {
  Node* next = nullptr;
  do {
    if (!tree_->neighbour(*leaf_, true, next, missing_)) return stop();
    leaf_ = next;
  } while (leaf_->count() == 0);
  slot_ = 0;
}

void Cursor::step_left() {
  Node* next = nullptr;
  do {
    if (!tree_->neighbour(*leaf_, false, next, missing_)) return stop();
    leaf_ = next;
  } while (leaf_->count() == 0);
  slot_ = leaf_->count() - 1;
}

bool Tree::neighbour(Node& leaf, bool right, Node*& next, Missing& missing) {
  const Key edge = right ? leaf.last() : leaf.first();
  if (edge == (right ? format::key_max : format::key_min)) return false;
  const Key wanted = right ? successor(edge) : predecessor(edge);
  const Node* parent = leaf.parent;
  if (parent != nullptr && parent->covers(wanted)) {
    const u32 slot = parent->child_slot(wanted);
    next = parent->children[slot];
    if (next != nullptr) {
      use(*next);
      const u32 after = right ? slot + 1 : slot - 1;  // wraps at 0: out of range as well
      const Node* const ahead = after < parent->count() ? parent->children[after] : nullptr;
      if (ahead != nullptr) __builtin_prefetch(ahead->image());
      return true;
    }
  }
  next = descend(wanted, 0, missing);
  return next != nullptr;
}

}  // namespace cowfs::btree
