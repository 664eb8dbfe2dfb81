// The copies of the superblock: reading the best one, writing all.
#pragma once
#include <string>
#include <vector>

#include "engine/device/scrub.h"
#include "engine/format/superblock.h"
#include "engine/runtime/task.h"

namespace cowfs::pool {

using runtime::Task;

struct SuperblockFound {
  format::Superblock superblock;
  std::vector<std::string> notes;  // copies that were damaged or older, for people
};

// The valid copy with the highest sequence; its geometry fits the device, unless that is of a pool. Damaged copies are noted.
// Errors: superblock_*; device_truncated; device_too_small (no room for any copy); of the device.
Task<Result<SuperblockFound>> read_superblock(device::Device& device);

// Copies that are not those of `superblock`'s sequence, by their numbers from 1, with their places on the device.
Task<std::vector<device::BadPlace>> bad_superblocks(device::Device& device, const format::Superblock& superblock);

// Seals and writes every copy, the first one last, and flushes: until then the device is not a filesystem. One more is, before
// all others, where the filesystem ends that uses `capacity_blocks` of the device: who cuts the device off there has the last copy in its place.
Task<Status> write_superblocks(device::Device& device, format::Superblock superblock, u64 capacity_blocks);
// The same on the only device of a filesystem.
Task<Status> write_superblocks(device::Device& device, const format::Superblock& superblock);

// Every copy becomes zeros, durably: nobody takes it for a device of a filesystem any more.
Task<Status> forget_superblocks(device::Device& device);

}  // namespace cowfs::pool
