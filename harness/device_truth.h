// What really reached a block device, as the kernel counts it: stands next to every MB/s.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/types.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u64;

struct DeviceCounters {
  u64 reads = 0;
  u64 read_bytes = 0;
  u64 writes = 0;
  u64 write_bytes = 0;
  u64 discards = 0;
  u64 discard_bytes = 0;
  u64 flushes = 0;  // cache flushes that the device was asked for
  u64 busy_ms = 0;
};

// Monotonic counters since the device appeared. Failure missing: there is no such device.
Outcome<DeviceCounters> read_device_counters(dev_t device);
// Of all of them together; of none, zeros.
Outcome<DeviceCounters> read_device_counters(const std::vector<dev_t>& devices);
// Of the text of /sys/dev/block/M:N/stat; fields that an old kernel lacks are zero. Failure request: not such a text.
Outcome<DeviceCounters> parse_device_counters(std::string_view text);

DeviceCounters operator-(const DeviceCounters& after, const DeviceCounters& before);

// Bytes written to the device for each byte that the workload counted; absent when it counted none.
std::optional<double> write_amplification(const DeviceCounters& moved, u64 accounted_write_bytes);

}  // namespace cowbench::harness
