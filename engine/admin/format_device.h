// Making a filesystem on a device.
#pragma once
#include "engine/device/device.h"
#include "engine/engine.h"
#include "engine/format/superblock.h"

namespace cowfs::admin {

// What makes two filesystems of the same geometry differ.
struct Identity {
  format::Uuid filesystem;
  format::Uuid device;
  u64 hash_seed = 0;
  u64 created_ns = 0;
};
Identity random_identity();

// Writes the journal, a header for each slice, and last the superblocks. What was on the device is gone with the first
// write. Errors: device_too_small, superblock_geometry_invalid, of the device.
Task<Result<format::Superblock>> format_device(device::Device& device, FormatOptions options, Identity identity);

// What is on the device already, for people; empty: nothing that is known. Errors: device_open_failed.
Result<std::string> find_signature(const std::string& path);

}  // namespace cowfs::admin
