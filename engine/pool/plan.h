// Where the chunks of a new pool lie: spread over its members as their sizes are, each copy on a member of another failure
// domain.
#pragma once
#include <string>
#include <vector>

#include "engine/format/pool_map.h"

namespace cowfs::pool {

struct NewMember {
  format::Uuid device;
  std::string label;  // failure domain; empty: its own
  u64 capacity_blocks = 0;
};

// The map, without what names its filesystem and its version.
// Errors: pool_too_few_devices (value: copies) when there are fewer failure domains; device_too_small (value: bytes) when a
// member has no room for a chunk; pool_members_too_many.
Result<format::PoolMap> plan(const std::vector<NewMember>& members, u8 copies, u64 bucket_blocks);

}  // namespace cowfs::pool
