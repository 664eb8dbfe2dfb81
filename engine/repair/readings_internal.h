// All that a device of several copies, or of stripes, says of a place. For what nobody has a checksum of.
#pragma once
#include <algorithm>

#include "engine/device/device.h"
#include "engine/runtime/task.h"

namespace cowfs::repair {

constexpr u16 readings_max = 64;  // in stripes: each may be a look through the whole device

// Readings are numbered from 1: the copies; in stripes what was written, and what each choice of shards says that it should be.
inline u16 readings_of(device::Device& device, u64 offset_bytes) {
  if (!device.is_striped(offset_bytes)) return device.copies();
  return std::min<u16>(static_cast<u16>(device.reconstructions() + 1), readings_max);
}

// False: none can be read, or two of them differ.
runtime::Task<bool> read_alike(device::Device& device, u64 offset_bytes, MutableByteSpan into);

}  // namespace cowfs::repair
