#include "programs/cowfs_verb.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>

namespace cowbench::programs {

std::string named(const Devices& devices, const cowfs::Error& error) {
  if (error.place.device < devices.size() && devices.size() > 1) return devices[error.place.device];
  return fmt::format("{}", fmt::join(devices, " "));
}

int report_error(const std::string& device, const cowfs::Error& error) {
  using cowfs::Code;
  const std::string reason =
      error.code == Code::device_open_failed ? fmt::format(": {}", std::strerror(static_cast<int>(error.value))) : "";
  fmt::print(stderr, "cowfs: {}: {}{}\n", device, to_text(error), reason);
  const bool unusable = error.code == Code::superblock_magic_mismatch || error.code == Code::device_truncated ||
                        error.code == Code::device_open_failed || error_class(error.code) == cowfs::ErrorClass::request;
  return unusable ? exit_bad_input : exit_errors_found;
}

int report_error(const Devices& devices, const cowfs::Error& error) { return report_error(named(devices, error), error); }

std::string dumped(const ordered_json& object, int indent) {
  return object.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

std::string size_text(cowfs::u64 bytes) {
  if (bytes >= 10 * cowfs::gib) return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / cowfs::gib);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / cowfs::mib);
}

}  // namespace cowbench::programs
