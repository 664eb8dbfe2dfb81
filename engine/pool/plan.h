// Where the chunks of a new pool lie: spread over its members as their sizes are, the copies of a chunk, and the shards of a
// stripe set, on members of different failure domains.
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

// What the pool keeps: copies of everything, or stripes, and one more copy than they have parity shards of the first
// `copied_buckets`, which are written in place.
struct Redundancy {
  u8 copies = 1;
  u8 data_shards = 0;  // 0: no stripes
  u8 parity_shards = 0;
  u64 copied_buckets = 0;

  bool is_striped() const { return data_shards > 0; }
  u32 members_needed() const { return is_striped() ? data_shards + u32{parity_shards} : copies; }
};

// The map, without what names its filesystem and its version.
// Errors: pool_too_few_devices (value: members_needed) when there are fewer failure domains; device_too_small (value: bytes)
// when a member has no room for a chunk, or all have none for a stripe set; pool_members_too_many.
Result<format::PoolMap> plan(const std::vector<NewMember>& members, const Redundancy& redundancy, u64 bucket_blocks);

}  // namespace cowfs::pool
