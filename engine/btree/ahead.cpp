#include "engine/btree/ahead.h"

namespace cowfs::btree {

Ahead::Ahead(const Tree& tree, const Key& key) : leaf_(tree.resident_leaf(key)), key_(key) {
  if (leaf_ == nullptr) return;
  __builtin_prefetch(leaf_->image());
  __builtin_prefetch(leaf_);
}

void Ahead::fetch_slots() const {
  if (leaf_ != nullptr) leaf_->fetch_near(key_);
}

ByteSpan Ahead::fetch_value() {
  if (leaf_ == nullptr) return {};
  slot_ = leaf_->lower_bound(key_);
  if (slot_ == leaf_->count() || leaf_->key(slot_) != key_) return {};
  const ByteSpan value = leaf_->value(slot_);
  if (!value.empty()) __builtin_prefetch(value.data());
  return value;
}

void Ahead::lead(Tree& tree) const {
  if (leaf_ != nullptr) tree.expect(key_, *leaf_, slot_);
}

}  // namespace cowfs::btree
