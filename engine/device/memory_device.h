// A device in plain memory, on huge pages where the kernel has them. Requests complete at once on the calling core;
// works on every reactor and on many cores, as long as no two of them touch one block at a time. Nothing survives it.
#pragma once
#include <memory>

#include "engine/device/device.h"
#include "engine/device/image.h"

namespace cowfs::device {

// `capacity` is rounded down to whole blocks. The memory is taken as it is written.
// Error device_open_failed: no address space; value is the errno.
Result<std::unique_ptr<Device>> make_memory_device(Bytes capacity);
// Holds a copy of `image` at first.
Result<std::unique_ptr<Device>> make_memory_device(const Image& image);

}  // namespace cowfs::device
