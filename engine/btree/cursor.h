// A place in a tree. Valid until the next change of the tree or the next await; an upsert that replaces a value by
// one of the same length is no such change.
//
//   for (Cursor at = tree.seek(from); at.valid(); at.next()) use(at.key(), at.value());
//
// When the way leads to a node that is not resident, the cursor stops with state missing: load missing(), then seek (or
// seek_before, if it was going back) resume_key() and go on.
#pragma once
#include "engine/btree/tree.h"

namespace cowfs::btree {

class Cursor {
 public:
  enum class State : u8 { valid, end, missing };

  State state() const { return state_; }
  bool valid() const { return state_ == State::valid; }
  Key key() const {
    assert(valid());
    return leaf_->key(slot_);
  }
  ByteSpan value() const {
    assert(valid());
    return leaf_->value(slot_);
  }

  // Precondition: valid().
  void next() {
    assert(valid());
    if (++slot_ == leaf_->count()) step_right();
  }
  void previous() {
    assert(valid());
    if (slot_-- == 0) step_left();
  }

  // Precondition: state() is missing.
  const Missing& missing() const { return missing_; }
  Key resume_key() const { return missing_.key; }

 private:
  friend class Tree;
  explicit Cursor(Tree& tree) : tree_(&tree) {}
  void step_right();
  void step_left();
  void stop();

  Tree* tree_;
  Node* leaf_ = nullptr;
  u32 slot_ = 0;
  State state_ = State::end;
  Missing missing_;
};

}  // namespace cowfs::btree
