// Changes of which devices a filesystem lies on, and what they hold of it, while it is not mounted. Each is planned first: what
// is refused has changed nothing; what is cut off leaves the filesystem as it was, or changed.
#pragma once
#include <functional>
#include <string>

#include "engine/admin/members.h"
#include "engine/format/superblock.h"

namespace cowfs::admin {

struct ChangeProgress {
  ChunksDone emptied = {};  // of the buckets that go with a part of the space
  ChunksDone moved = {};    // of chunks
};

// For threads that are no cores. `added`: of add and spare, the new device; what it holds is lost; with a signature it is refused without
// `force`. Errors: as a degraded mount; pool_alone; pool_member_unknown; pool_copies_needed (offline); pool_chunks_unplaced;
// pool_members_too_many, pool_map_full, device_too_small, device_has_signature (add, spare); superblock_devices_missing (online, resize,
// of a device that is not there); device_too_small (resize). Where the space has to become smaller (evacuate, remove, resize): space_still_needed,
// space_bucket_stuck, and those of a mount.
Status change_devices(const DeviceNames& devices, const DeviceChange& change, const std::string& added, bool force,
                      const ChangeProgress& progress);

// The same on any devices, on the only core of their runtime. `uuid`: of the added one.
runtime::Task<Status> change_devices(std::vector<device::Device*> devices, DeviceChange change, device::Device* added,
                                     format::Uuid uuid, ChangeProgress progress);

}  // namespace cowfs::admin
