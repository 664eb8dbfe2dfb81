// Writes consistent keys as a new checkpoint of every slice, through the triggers that always keep the derived trees.
#pragma once
#include "engine/repair/salvage_internal.h"

namespace cowfs::repair {

struct Rebuilt {
  std::vector<format::SliceHeader> headers;  // sealed, not in place
  u64 epoch = 0;                             // they count from its commit on
};

// Nodes and space lists are written to buckets that nothing salvaged names, so that what is in force now stays whole.
// Errors: space_no_buckets: there is no room; those of Slice::replay, when the keys contradict each other.
Task<Result<Rebuilt>> rebuild(device::Device& device, const format::Superblock& superblock, const Salvaged& mended,
                              const absl::flat_hash_set<u64>& buckets_in_use);

}  // namespace cowfs::repair
