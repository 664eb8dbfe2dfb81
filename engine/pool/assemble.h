// From the devices that were named to the one that the filesystem lies on: who belongs, who is missing, and whose content
// counts.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/pool/pool.h"
#include "engine/pool/superblocks.h"

namespace cowfs::pool {

struct AssembleOptions {
  bool degraded = false;   // go on without members that are missing or stale, while everything has a copy
  bool read_only = false;  // nothing is written, also not who is missing
};

// `device` is what the engine works on: the only device, or the pool. The superblock is that of the space it offers.
struct Assembled {
  device::Device* device = nullptr;
  std::unique_ptr<Pool> pool;  // null: the one device
  format::Superblock superblock;
  std::vector<std::string> damaged_copies;  // of the superblock, and maps, of members that count, for people
  std::vector<std::string> absent;          // members that are missing or stale, for people
};

// The map that a member's superblock names; nothing when it is damaged.
Task<std::optional<format::PoolMap>> read_map(device::Device& device, const format::Superblock& superblock);

// `device` is the one that the pool knows as this member, and its content is older than the pool's, so that it may be
// overwritten. Errors: of read_superblock; pool_device_foreign; device_truncated; pool_split_brain.
Task<Status> check_returned(device::Device& device, const Pool& pool, u16 member);

// In any order. A member is stale when the newest map says so, or when commits were made in a mount that it knows nothing of.
// Errors, whose place names the device by its number in `devices`: of read_superblock; pool_device_foreign (of another
// filesystem, or no longer of this one); pool_device_twice; device_truncated; pool_map_damaged; pool_split_brain;
// superblock_devices_missing (value: how many) and, where something lies on it, pool_device_stale, unless degraded; pool_chunks_lost (value: how many have
// no copy).
Task<Result<Assembled>> assemble(std::vector<device::Device*> devices, AssembleOptions options);

}  // namespace cowfs::pool
