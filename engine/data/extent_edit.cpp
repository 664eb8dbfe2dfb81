// Updates are ordered so that a bucket's live count never exceeds what is in it: an extent is cut or replaced before its
// right-hand remainder is inserted.
#include "engine/data/extent_edit.h"

#include <algorithm>

namespace cowfs::data {

using format::Extent;
using format::ExtentKind;
using format::ExtentValue;
using format::Key;
using format::TreeId;
using format::UpdateKind;

namespace {

void add(ExtentPlan& plan, UpdateKind kind, const Key& key, const ExtentValue* value) {
  PlannedUpdate& planned = plan.updates.emplace_back();
  planned.kind = kind;
  planned.key = key;
  if (value != nullptr) planned.value = *value;
  plan.journal_bytes += slice::journal_bytes(planned.update());
}

// Cuts [range) out of the extent at `key`.
void cut(ExtentPlan& plan, const Key& key, const Extent& extent, const ExtentRange& range, bool key_is_reused) {
  const u64 first = key.offset;
  const u64 end = first + extent.blocks;
  const u64 cut_first = std::max(first, range.first_block);
  const u64 cut_end = std::min(end, range.end_block);
  if (extent.kind == ExtentKind::data) plan.removed_blocks += cut_end - cut_first;
  if (cut_first > first) {
    const ExtentValue left = ExtentValue::slice_of(extent, 0, static_cast<u32>(cut_first - first));
    add(plan, UpdateKind::upsert, key, &left);
  } else if (!key_is_reused) {
    add(plan, UpdateKind::erase, key, nullptr);
  }
  if (cut_end < end) {
    const ExtentValue right =
        ExtentValue::slice_of(extent, static_cast<u32>(cut_end - first), static_cast<u32>(end - cut_end));
    add(plan, UpdateKind::upsert, {key.inode, cut_end, key.snapshot}, &right);
  }
}

}  // namespace

void ExtentPlan::clear() {
  updates.clear();
  removed_blocks = 0;
  journal_bytes = 0;
  complete = true;
}

bool plan_extents(Slice& slice, const ExtentRange& range, const ExtentValue* replacement, std::size_t extents_max,
                  ExtentPlan& plan, slice::Missing& missing) {
  missing.tree = TreeId::extents;
  btree::Tree& extents = slice.tree(TreeId::extents);
  const Key from{range.inode, range.first_block, format::snapshot_live};
  const auto overlaps = [&](const Key& key, u32 blocks) {
    return key.inode == range.inode && key.offset < range.end_block && key.offset + blocks > range.first_block;
  };

  // The extent before `from` may reach into the range.
  btree::Cursor before = extents.seek_before(from);
  if (before.state() == btree::Cursor::State::missing) return missing.node = before.missing(), false;
  std::size_t cuts = 0;
  if (before.valid() && before.key() < from) {
    const Extent extent = format::decode_extent(before.value());
    if (overlaps(before.key(), extent.blocks)) cut(plan, before.key(), extent, range, false), ++cuts;
  }
  btree::Cursor at = extents.seek(from);
  for (; at.valid() && at.key().inode == range.inode && at.key().offset < range.end_block; at.next()) {
    if (cuts++ == extents_max) {
      plan.complete = false;
      return true;
    }
    const bool reused = replacement != nullptr && at.key().offset == range.first_block;
    if (reused) add(plan, UpdateKind::upsert, from, std::exchange(replacement, nullptr));
    cut(plan, at.key(), format::decode_extent(at.value()), range, reused);
  }
  if (at.state() == btree::Cursor::State::missing) return missing.node = at.missing(), false;
  if (replacement != nullptr) add(plan, UpdateKind::upsert, from, replacement);
  return true;
}

bool ready(Slice& slice, const ExtentPlan& plan, slice::Missing& missing) {
  for (const PlannedUpdate& planned : plan.updates) {
    if (!slice.ready(planned.update(), missing)) return false;
  }
  return true;
}

void apply(Slice& slice, const ExtentPlan& plan) {
  for (const PlannedUpdate& planned : plan.updates) slice.apply(planned.update());
}

}  // namespace cowfs::data
