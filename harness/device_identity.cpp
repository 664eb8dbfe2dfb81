#include "harness/device_identity.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace cowbench::harness {
namespace {

constexpr size_t small_file_bytes_max = 4 << 20;

u64 read_number(const std::string& path) {
  const std::string text = read_first_line(path);
  u64 number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string trimmed(std::string text) {
  const size_t last = text.find_last_not_of(" \t\n");
  text.erase(last == text.npos ? 0 : last + 1);
  const size_t first = text.find_first_not_of(" \t");
  return first == text.npos ? std::string{} : text.substr(first);
}

}  // namespace

std::string read_small_file(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (descriptor < 0) return {};
  std::string text;
  char buffer[1 << 14];
  for (ssize_t count = 0; (count = read(descriptor, buffer, sizeof buffer)) > 0 && text.size() < small_file_bytes_max;)
    text.append(buffer, static_cast<size_t>(count));
  close(descriptor);
  return text;
}

std::string read_first_line(const std::string& path) {
  const std::string text = read_small_file(path);
  return text.substr(0, text.find('\n'));
}

std::vector<std::string> list_directory(const std::string& path) {
  std::vector<std::string> names;
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return names;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(directory);
  std::ranges::sort(names);
  return names;
}

std::string to_text_number(dev_t number) { return fmt::format("{}:{}", major(number), minor(number)); }

std::string sysfs_directory(dev_t number) { return "/sys/dev/block/" + to_text_number(number); }

Outcome<DeviceIdentity> identify_device(const std::string& path) {
  DeviceIdentity identity;
  identity.path = path;
  char* resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return Failure{FailureKind::missing, fmt::format("{}: {}", path, std::strerror(errno)), ""};
  identity.real_path = resolved;
  std::free(resolved);
  struct stat status = {};
  if (stat(identity.real_path.c_str(), &status) != 0) return system_failure("stat " + path, errno);
  if (!S_ISBLK(status.st_mode))
    return Failure{FailureKind::request, path + " is not a block device", "name a block device, or use --media"};
  identity.number = status.st_rdev;

  const std::string directory = sysfs_directory(status.st_rdev);
  // A partition has no queue of its own; its disk is one directory up.
  const bool is_partition = access((directory + "/partition").c_str(), F_OK) == 0;
  const std::string disk = is_partition ? directory + "/.." : directory;
  const std::string queue = disk + "/queue";
  identity.size_bytes = read_number(directory + "/size") * 512;
  identity.read_only = read_first_line(directory + "/ro") == "1";
  identity.logical_sector_bytes = static_cast<u32>(read_number(queue + "/logical_block_size"));
  identity.physical_sector_bytes = static_cast<u32>(read_number(queue + "/physical_block_size"));
  identity.rotational = read_first_line(queue + "/rotational") == "1";
  identity.write_cache = read_first_line(queue + "/write_cache");
  if (identity.write_cache.empty()) identity.write_cache = "unknown";
  identity.scheduler = read_first_line(queue + "/scheduler");
  identity.nr_requests = read_number(queue + "/nr_requests");
  identity.read_ahead_kib = read_number(queue + "/read_ahead_kb");
  identity.model = trimmed(read_first_line(disk + "/device/model"));
  identity.serial = trimmed(read_first_line(disk + "/device/serial"));
  if (identity.serial.empty()) identity.serial = trimmed(read_first_line(disk + "/serial"));
  identity.backing_file = read_first_line(disk + "/loop/backing_file");
  identity.direct_io = read_first_line(disk + "/loop/dio") == "1";
  return identity;
}

Action make_writable(const std::string& loop_device) {
  const int descriptor = open(loop_device.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return system_failure("open " + loop_device, errno);
  int read_only = 0;
  const int status = ioctl(descriptor, BLKROSET, &read_only);
  const int error_number = errno;
  close(descriptor);
  return status == 0 ? Action(Done{}) : Action(system_failure("make writable " + loop_device, error_number));
}

std::string to_text(const DeviceIdentity& identity) {
  std::string text = fmt::format("{} ({}), {:.2f} GiB, sectors {}/{} bytes, {}, cache {}", identity.real_path,
                                 to_text_number(identity.number), static_cast<double>(identity.size_bytes) / cowfs::gib,
                                 identity.logical_sector_bytes, identity.physical_sector_bytes,
                                 identity.rotational ? "rotational" : "not rotational", identity.write_cache);
  if (!identity.model.empty()) text += ", model " + identity.model;
  if (!identity.serial.empty()) text += ", serial " + identity.serial;
  if (!identity.backing_file.empty())
    text += fmt::format(", loop on {} (direct-io {})", identity.backing_file, identity.direct_io ? "on" : "off");
  return text;
}

}  // namespace cowbench::harness
