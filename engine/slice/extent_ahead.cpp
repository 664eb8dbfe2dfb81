#include "engine/slice/extent_ahead.h"

namespace cowfs::slice {

void ExtentAhead::take(u32 step, Slice& slice, const Key& key) {
  switch (step) {
    case 0: extent_ = btree::Ahead(slice.tree(TreeId::extents), key); break;
    case 1: extent_.fetch_slots(); break;
    case 2: old_value_ = extent_.fetch_value(); break;
    case 3: head_for_backpointer(slice); break;
    default: fetch_backpointer(slice); break;
  }
}

void ExtentAhead::lead(Slice& slice) const {
  extent_.lead(slice.tree(TreeId::extents));
  backpointer_.lead(slice.tree(TreeId::backpointers));
}

void ExtentAhead::head_for_backpointer(Slice& slice) {
  if (old_value_.empty()) return;
  const format::Extent old = format::decode_extent(old_value_);
  if (old.kind != format::ExtentKind::data) return;
  replaced_ = old.address;
  slice.buckets().fetch_index(old.address);
  backpointer_ = btree::Ahead(slice.tree(TreeId::backpointers), slice.backpointer_key(old.address));
}

void ExtentAhead::fetch_backpointer(const Slice& slice) const {
  if (!replaced_) return;
  slice.buckets().fetch(*replaced_);
  backpointer_.fetch_slots();
}

}  // namespace cowfs::slice
