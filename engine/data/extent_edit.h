// What changes in the extents tree when a range of a file is replaced: extents that overlap it are cut, and a new one may
// take their place. Pure planning on resident nodes; the caller makes it ready, reserves journal room and applies it.
#pragma once
#include <vector>

#include "engine/slice/slice.h"

namespace cowfs::data {

using slice::Slice;

struct PlannedUpdate {
  format::UpdateKind kind = format::UpdateKind::upsert;
  format::Key key;
  u32 value_at = 0;  // in the plan's values
  u32 value_bytes = 0;
};

struct ExtentPlan {
  std::vector<PlannedUpdate> updates;
  std::vector<std::byte> values;
  u64 removed_blocks = 0;  // of data that no extent names any more
  u64 journal_bytes = 0;
  bool complete = true;    // false: extents_max reached; apply, then plan again

  void clear();
  // Valid until something is added.
  slice::Update update(const PlannedUpdate& planned) const {
    return {format::TreeId::extents, planned.kind, planned.key, {values.data() + planned.value_at, planned.value_bytes}};
  }
};

struct ExtentRange {
  format::InodeNumber inode = 0;
  u64 first_block = 0;
  u64 end_block = 0;
};

// Plans the replacement of `range` by `replacement` (null: by a hole), cutting at most `extents_max` extents.
// False: `missing` has to be loaded first.
bool plan_extents(Slice& slice, const ExtentRange& range, const format::ExtentValue* replacement, std::size_t extents_max,
                  ExtentPlan& plan, slice::Missing& missing);

// True when every node that the plan's updates change is resident.
bool ready(Slice& slice, const ExtentPlan& plan, slice::Missing& missing, slice::Room room = slice::Room::awaited);
void apply(Slice& slice, const ExtentPlan& plan);

}  // namespace cowfs::data
