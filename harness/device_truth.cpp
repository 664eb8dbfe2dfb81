#include "harness/device_truth.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "harness/device_identity.h"

namespace cowbench::harness {
namespace {
constexpr u64 sector_bytes = 512;  // of these counters, whatever the device's sectors are
}

Outcome<DeviceCounters> parse_device_counters(std::string_view text) {
  // reads merged sectors ms, writes merged sectors ms, in-flight busy-ms weighted-ms, discards merged sectors ms,
  // flushes ms
  std::array<u64, 17> fields = {};
  size_t count = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (count < fields.size()) {
    while (at != end && (*at == ' ' || *at == '\n')) ++at;
    const auto [next, error] = std::from_chars(at, end, fields[count]);
    if (error != std::errc{}) break;
    at = next;
    ++count;
  }
  constexpr size_t fields_min = 11;  // before Linux 4.18
  if (count < fields_min)
    return Failure{FailureKind::request, fmt::format("not a device's counters: \"{}\"", text), ""};
  DeviceCounters counters;
  counters.reads = fields[0];
  counters.read_bytes = fields[2] * sector_bytes;
  counters.writes = fields[4];
  counters.write_bytes = fields[6] * sector_bytes;
  counters.busy_ms = fields[9];
  counters.discards = fields[11];
  counters.discard_bytes = fields[13] * sector_bytes;
  counters.flushes = fields[15];
  return counters;
}

Outcome<DeviceCounters> read_device_counters(dev_t device) {
  const std::string path = sysfs_directory(device) + "/stat";
  const std::string text = read_first_line(path);
  if (text.empty()) return Failure{FailureKind::missing, path + ": no such counters", ""};
  return parse_device_counters(text);
}

Outcome<DeviceCounters> read_device_counters(const std::vector<dev_t>& devices) {
  DeviceCounters sum;
  for (const dev_t device : devices) {
    const auto one = read_device_counters(device);
    if (!one) return one.failure();
    sum.reads += one->reads;
    sum.read_bytes += one->read_bytes;
    sum.writes += one->writes;
    sum.write_bytes += one->write_bytes;
    sum.discards += one->discards;
    sum.discard_bytes += one->discard_bytes;
    sum.flushes += one->flushes;
    sum.busy_ms += one->busy_ms;
  }
  return sum;
}

DeviceCounters operator-(const DeviceCounters& after, const DeviceCounters& before) {
  return {after.reads - before.reads,
          after.read_bytes - before.read_bytes,
          after.writes - before.writes,
          after.write_bytes - before.write_bytes,
          after.discards - before.discards,
          after.discard_bytes - before.discard_bytes,
          after.flushes - before.flushes,
          after.busy_ms - before.busy_ms};
}

std::optional<double> write_amplification(const DeviceCounters& moved, u64 accounted_write_bytes) {
  if (accounted_write_bytes == 0) return {};
  return static_cast<double>(moved.write_bytes) / static_cast<double>(accounted_write_bytes);
}

}  // namespace cowbench::harness
