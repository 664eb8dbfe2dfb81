// Changes of a pool's members: what the map is to be, planned before anything is written, and how it comes about. Chunks, of copies and of
// stripe sets, move by being copied to places that the old map leaves free; then the new map counts. Whatever is cut off before, the old
// one does.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/pool/pool.h"

namespace cowfs::pool {

struct Change {
  format::PoolMap map;
  std::vector<format::PoolPart> moves;  // what lies elsewhere in it
};

// Nothing lies on the member behind its first `chunks` any more. Error pool_chunks_unplaced (value: how many have no place elsewhere).
Result<Change> moved_off(const format::PoolMap& map, u16 member, u32 chunks);

// As many chunks, or stripe sets, more as there is room for, behind those that there are; where different members are needed, some of what
// there is moves to those that have most room.
Change extended(const format::PoolMap& map);

// How many copies, or shards, share a label with another one of theirs.
u64 chunks_in_one_domain(const format::PoolMap& map);

// Another label. Error pool_chunks_unplaced (value: how many would have two copies, or shards, with one label).
Result<format::PoolMap> relabelled(const format::PoolMap& map, u16 member, const std::string& label);

// The superblock of a pool with this map.
format::Superblock with_space_of(format::Superblock superblock, const format::PoolMap& map);

// Without the member, the others renumbered. Error pool_member_in_use (value: chunks on it).
Result<format::PoolMap> without(const format::PoolMap& map, u16 member);

// A new member of this size, on which no chunk lies.
format::PoolMember member_of_size(const format::PoolMap& map, const format::Uuid& device, const std::string& label,
                                  u64 capacity_blocks, u64 bucket_blocks);
// The same member, which uses so much of its device from now on.
void set_size(const format::PoolMap& map, format::PoolMember& member, u64 capacity_blocks, u64 bucket_blocks);

// On one core, while nothing else is asked of the devices: copies what moves from `from`, as it is, and lets the new map count.
// `members`: by their numbers in it, null where one is missing. `added`: of them, the one that is new; its superblocks are
// written first. Errors: of the devices; then the old map counts, or the new one.
runtime::Task<Status> carry_out(Pool& from, Change change, std::vector<device::Device*> members, std::optional<u16> added,
                                std::function<void(u64 done)> progress);

}  // namespace cowfs::pool
