// What a block device is: read from sysfs and ioctls, nothing is written.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "engine/base/types.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u32;
using cowfs::u64;

struct DeviceIdentity {
  std::string path;       // as asked for
  std::string real_path;  // without symlinks
  dev_t number = 0;
  u64 size_bytes = 0;
  u32 logical_sector_bytes = 0;
  u32 physical_sector_bytes = 0;
  bool rotational = false;
  bool read_only = false;
  std::string write_cache;  // "write back" (flushes matter), "write through", or "unknown"
  std::string model;        // empty for what has none
  std::string serial;
  std::string scheduler;     // the whole line, the active one in brackets
  std::string backing_file;  // of a loop device
  bool direct_io = false;    // of a loop device: whether the backing file is written past the page cache
  u64 nr_requests = 0;
  u64 read_ahead_kib = 0;
};

// Failures: missing: no such file; request: not a block device; failed: cannot be opened.
Outcome<DeviceIdentity> identify_device(const std::string& path);
std::string to_text(const DeviceIdentity& identity);

// Clears a read-only mark that an earlier user of this loop device left: the kernel keeps it from one attachment to the
// next. Only for loop devices that the caller has just attached to an image of its own.
Action make_writable(const std::string& loop_device);

// "/sys/dev/block/7:0", whatever the device's name.
std::string sysfs_directory(dev_t number);
// The first line of a small file without its newline; empty when it cannot be read.
std::string read_first_line(const std::string& path);
std::string read_small_file(const std::string& path);
std::vector<std::string> list_directory(const std::string& path);

// "7:0"
std::string to_text_number(dev_t number);

}  // namespace cowbench::harness
