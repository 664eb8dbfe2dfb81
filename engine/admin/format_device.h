// Making a filesystem on a device.
#pragma once
#include "engine/device/device.h"
#include "engine/engine.h"
#include "engine/format/superblock.h"

namespace cowfs::admin {

// Writes the journal, a header for each slice, and last the superblocks. What was on the device is gone with the first
// write. Errors: device_too_small, superblock_geometry_invalid, of the device.
Task<Result<format::Superblock>> format_device(device::Device& device, FormatOptions options);

// What is on the device already, for people; empty: nothing that is known. Errors: device_open_failed.
Result<std::string> find_signature(const std::string& path);

}  // namespace cowfs::admin
