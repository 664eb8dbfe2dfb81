// What the program `cowfs` does to the devices of a filesystem that is not mounted: those that do not count are brought up to
// date. For threads that are no cores.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/admin/tools.h"
#include "engine/device/device.h"

namespace cowfs::admin {

using ChunksDone = std::function<void(u64 done, u64 total)>;  // called now and then, from another thread

// Every stale device among `devices` gets what it should hold and counts again. Answers their numbers; there may be none.
// Errors: as a degraded mount; of the devices. A device that was not done is still stale, and may be tried again.
Result<std::vector<u16>> bring_up_to_date(const DeviceNames& devices, const ChunksDone& progress);

// The same on any devices, on the only core of their runtime.
runtime::Task<Result<std::vector<u16>>> refill_stale(std::vector<device::Device*> devices, ChunksDone progress);

// `replacement` becomes the device with this number, which is missing or stale, and gets what it should hold; what was on it is
// gone. Without `force` one with a signature is refused. `devices`: the others.
// Errors: as a degraded mount; device_has_signature; device_too_small; pool_member_needed (value: the number): no such device, or
// it counts.
Status replace_device(const DeviceNames& devices, u16 number, const std::string& replacement, bool force,
                      const ChunksDone& progress);

// Mounts the filesystem, scrubs it (Filesystem::scrub), and unmounts it. Errors: as a mount, as a scrub.
Result<ScrubReport> scrub_devices(const DeviceNames& devices, bool degraded, const ScrubOptions& options);

}  // namespace cowfs::admin
