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

ByteSpan Ahead::fetch_value() const {
  if (leaf_ == nullptr) return {};
  const u32 slot = leaf_->lower_bound(key_);
  if (slot == leaf_->count() || leaf_->key(slot) != key_) return {};
  const ByteSpan value = leaf_->value(slot);
  if (!value.empty()) __builtin_prefetch(value.data());
  return value;
}

}  // namespace cowfs::btree
