// Goes ahead of a change of a key, so that what the change reads is in the processor's caches when it comes. Each step
// asks memory for what the next one looks at and waits for nothing; the aheads of many keys take each step in turn, and
// memory answers all of them in the time of one.
//
// Changes nothing, loads nothing, and is no use of a node. The steps are dead with the next change of the tree, all of it is
// with the next await.
#pragma once
#include "engine/btree/tree.h"

namespace cowfs::btree {

class Ahead {
 public:
  Ahead() = default;
  // First: to the leaf of `key`, when all that leads there is resident.
  Ahead(const Tree& tree, const Key& key);
  // Second: to the keys near `key`.
  void fetch_slots() const;
  // Third: to the value of `key`; empty when it is not there.
  ByteSpan fetch_value();
  // Just before the change of the key, and after those of others: `tree` begins to look where this one went.
  void lead(Tree& tree) const;

 private:
  Node* leaf_ = nullptr;
  u32 slot_ = ~0u;
  Key key_;
};

}  // namespace cowfs::btree
