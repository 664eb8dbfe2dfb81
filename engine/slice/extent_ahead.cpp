#include "engine/slice/extent_ahead.h"

namespace cowfs::slice {

void ExtentAhead::take(u32 step, Slice& slice, const Key& key) {
  switch (step) {
    case 0: extent_ = btree::Ahead(slice.tree(TreeId::extents), key); break;
    case 1: extent_.fetch_slots(); break;
    case 2: old_ = extent_.fetch_value(); break;
    case 3: head_for_backpointer(slice); break;
    default: backpointer_.fetch_slots(); break;
  }
}

void ExtentAhead::head_for_backpointer(Slice& slice) {
  if (old_.empty()) return;
  const format::Extent old = format::decode_extent(old_);
  if (old.kind != format::ExtentKind::data) return;
  backpointer_ = btree::Ahead(slice.tree(TreeId::backpointers), slice.backpointer_key(old.address));
}

}  // namespace cowfs::slice
