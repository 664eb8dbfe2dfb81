// Changes of which devices a filesystem lies on, and what they hold of it, while it is not mounted. Each is planned first: what
// is refused has changed nothing; what is cut off leaves the filesystem as it was, or changed.
#pragma once
#include <functional>
#include <string>

#include "engine/admin/members.h"
#include "engine/format/superblock.h"

namespace cowfs::admin {

struct DeviceChange {
  enum class Kind : u8 {
    offline,   // what is on the device does not count any more
    online,    // it gets what it should hold, and counts
    label,     // what it fails together with
    add,       // a new device; the filesystem's space grows
    spare,     // a new device, which has room for what others hold; the space stays as it is
    evacuate,  // what is on it moves to the others
    remove,    // the same, and it does not belong to the filesystem any more
    resize,    // the room on it that is not used, since it has become larger or was a spare, is: the space grows
  };
  Kind kind = Kind::offline;
  u16 member = 0;     // its number; add, spare: of no meaning
  std::string label = {};  // label, add, spare
};

// For threads that are no cores. `added`: of add and spare, the new device; what it holds is lost; with a signature it is refused without
// `force`. Errors: as a degraded mount; pool_alone; pool_stripes_fixed; pool_member_unknown; pool_copies_needed (offline); pool_chunks_unplaced;
// pool_members_too_many, pool_map_full, device_too_small, device_has_signature (add, spare); superblock_devices_missing (online, resize,
// of a device that is not there).
Status change_devices(const DeviceNames& devices, const DeviceChange& change, const std::string& added, bool force,
                      const ChunksDone& progress);

// The same on any devices, on the only core of their runtime. `uuid`: of the added one.
runtime::Task<Status> change_devices(std::vector<device::Device*> devices, DeviceChange change, device::Device* added,
                                     format::Uuid uuid, ChunksDone progress);

}  // namespace cowfs::admin
