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

void add(ExtentPlan& plan, UpdateKind kind, const Key& key, ByteSpan value) {
  const PlannedUpdate planned{kind, key, static_cast<u32>(plan.values.size()), static_cast<u32>(value.size())};
  plan.values.insert(plan.values.end(), value.begin(), value.end());
  plan.updates.push_back(planned);
  plan.journal_bytes += sizeof(format::RecordHeader) + value.size();
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
    add(plan, UpdateKind::upsert, key, left.bytes());
  } else if (!key_is_reused) {
    add(plan, UpdateKind::erase, key, {});
  }
  if (cut_end < end) {
    const ExtentValue right =
        ExtentValue::slice_of(extent, static_cast<u32>(cut_end - first), static_cast<u32>(end - cut_end));
    add(plan, UpdateKind::upsert, {key.inode, cut_end, key.snapshot}, right.bytes());
  }
}

}  // namespace

void ExtentPlan::clear() {
  updates.clear();
  values.clear();
  removed_blocks = 0;
  journal_bytes = 0;
  complete = true;
}

bool plan_extents(Slice& slice, const ExtentRange& range, const ExtentValue* replacement, std::size_t extents_max,
                  ExtentPlan& plan, slice::Missing& missing) {
  missing.tree = TreeId::extents;
  btree::Tree& extents = slice.tree(TreeId::extents);
  const Key from{range.inode, range.first_block, format::snapshot_live};

  // The extent before `from` may reach into the range.
  btree::Cursor at = extents.seek_before(from);
  if (at.state() == btree::Cursor::State::missing) return missing.node = at.missing(), false;
  if (!at.valid()) at = extents.seek(from);
  std::size_t cuts = 0;
  for (; at.valid(); at.next()) {
    const Key key = at.key();
    if (key.inode > range.inode || (key.inode == range.inode && key.offset >= range.end_block)) break;
    const Extent extent = format::decode_extent(at.value());
    const u64 end = key.offset + extent.blocks;
    if (key.inode < range.inode || end <= range.first_block) continue;
    if (cuts++ == extents_max) {
      plan.complete = false;
      return true;
    }
    const bool reused = replacement != nullptr && key.offset == range.first_block;
    if (reused) add(plan, UpdateKind::upsert, from, std::exchange(replacement, nullptr)->bytes());
    cut(plan, key, extent, range, reused);
    if (end >= range.end_block) break;
  }
  if (at.state() == btree::Cursor::State::missing) return missing.node = at.missing(), false;
  if (replacement != nullptr) add(plan, UpdateKind::upsert, from, replacement->bytes());
  return true;
}

bool ready(Slice& slice, const ExtentPlan& plan, slice::Missing& missing, slice::Room room) {
  for (const PlannedUpdate& planned : plan.updates) {
    if (!slice.ready(plan.update(planned), missing, room)) return false;
  }
  return true;
}

void apply(Slice& slice, const ExtentPlan& plan) {
  for (const PlannedUpdate& planned : plan.updates) slice.apply(plan.update(planned));
}

}  // namespace cowfs::data
