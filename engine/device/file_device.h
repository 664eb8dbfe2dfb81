// Real devices: block devices and image files, through the io_uring of the calling core.
#pragma once
#include <memory>
#include <string>

#include "engine/device/device.h"

namespace cowfs::device {

enum class OpenMode { read_only, read_write };

// Opens the block device or regular file at `path` for this process alone, past the page cache where the filesystem
// allows it. The size is fixed from here on.
// Errors: device_open_failed (value: errno), device_in_use, device_read_only, device_not_block_or_file,
// device_sector_size_unsupported.
Result<std::unique_ptr<Device>> open_device(const std::string& path, OpenMode mode);

}  // namespace cowfs::device
