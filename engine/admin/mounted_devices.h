// Changes of a mounted filesystem's devices: what Filesystem::change_device and replace_device do, on any devices.
#pragma once
#include "engine/engine.h"
#include "engine/fs/filesystem_state.h"
#include "engine/pool/assemble.h"

namespace cowfs::admin {

// On core 0; all outlive it. `found`: the device at work.path, for add, spare and online; null: where it was. It is used from then on unless the
// error says that it does not belong there. `uuid`: of one that is new. Errors: as Filesystem::change_device.
Task<Status> change_mounted(fs::FilesystemState& state, pool::Assembled& assembled, DeviceChange change, device::Device* found,
                            format::Uuid uuid, DeviceWork work);

// `fresh` becomes the member. Errors: as Filesystem::replace_device.
Task<Status> replace_mounted(fs::FilesystemState& state, pool::Assembled& assembled, u16 member, device::Device* fresh,
                             format::Uuid uuid, DeviceWork work);

}  // namespace cowfs::admin
