// Making a filesystem on devices.
#pragma once
#include "engine/device/device.h"
#include "engine/engine.h"
#include "engine/format/superblock.h"

namespace cowfs::admin {

// What makes two filesystems of the same geometry differ.
struct Identity {
  format::Uuid filesystem;
  format::Uuid device;  // of the first; others differ from it in the first bytes
  u64 hash_seed = 0;
  u64 created_ns = 0;
};
Identity random_identity();

// Writes the journal, a header for each slice, and last the superblocks. What was on the devices is gone with the first
// write. Several devices, or replicas, make a pool. Errors: device_too_small, superblock_geometry_invalid, pool_*, of the
// devices. `options.devices` is not looked at.
Task<Status> format_devices(std::vector<device::Device*> devices, FormatOptions options, Identity identity);

// True unless nothing of a filesystem of ours is on the device, as far as it can be read.
Task<bool> carries_ours(device::Device& device);

// What is on the device already, for people; empty: nothing that is known. Errors: device_open_failed.
Result<std::string> find_signature(const std::string& path);

}  // namespace cowfs::admin
