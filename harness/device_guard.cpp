// Every rule answers an accident that some tool allows: mkfs.ext4 overwrites a filesystem silently when it has no
// terminal, fio writes to a device that is mounted in another namespace, O_EXCL on a file says nothing about a loop
// device on it.
#include "harness/device_guard.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <sstream>
#include <utility>

#include "harness/holders.h"

namespace cowbench::harness {
namespace {

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, FreeProbe>;

std::optional<dev_t> number_of(const std::string& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return {};
  return status.st_rdev;
}

std::string value_of(blkid_probe probe, const char* name) {
  const char* value = nullptr;
  return blkid_probe_lookup_value(probe, name, &value, nullptr) == 0 && value != nullptr ? value : "";
}

void find_signatures(int descriptor, std::vector<DeviceFinding>& findings) {
  const Probe probe(blkid_new_probe());
  if (!probe || blkid_probe_set_device(probe.get(), descriptor, 0, 0) != 0) {
    findings.push_back({"signatures could not be looked for", false});
    return;
  }
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
  blkid_probe_enable_partitions(probe.get(), 1);
  constexpr int signatures_max = 64;
  int status = 0;
  for (int found = 0; found < signatures_max && (status = blkid_do_probe(probe.get())) == 0; ++found) {
    const std::string table = value_of(probe.get(), "PTTYPE");
    const std::string type = value_of(probe.get(), "TYPE");
    const std::string label = value_of(probe.get(), "LABEL");
    if (!type.empty())
      findings.push_back({fmt::format("signature {}{}", type, label.empty() ? "" : " (label " + label + ")"), true});
    else if (!table.empty())
      findings.push_back({fmt::format("partition table {}", table), true});
  }
  // A probe that failed must not be read as "nothing there".
  if (status < 0) findings.push_back({"signatures could not be read", false});
}

// Catches what libblkid does not know, formats newer than it or none at all.
void find_data(int descriptor, u64 size_bytes, std::vector<DeviceFinding>& findings) {
  std::vector<char> buffer(cowfs::mib);
  const u64 last = size_bytes > buffer.size() ? size_bytes - buffer.size() : 0;
  for (const u64 offset : {u64{0}, last}) {
    const ssize_t count = pread(descriptor, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (count < 0) {
      findings.push_back({fmt::format("cannot be read at offset {}: {}", offset, std::strerror(errno)), false});
      return;
    }
    const auto used = buffer.begin() + count;
    if (std::find_if(buffer.begin(), used, [](char c) { return c != 0; }) == used) continue;
    findings.push_back({fmt::format("data in its {} MiB", offset == 0 ? "first" : "last"), true});
    return;
  }
}

std::vector<std::string> partitions_of(const DeviceIdentity& identity) {
  std::vector<std::string> numbers;
  const std::string directory = sysfs_directory(identity.number);
  for (const std::string& name : list_directory(directory))
    if (access(fmt::format("{}/{}/partition", directory, name).c_str(), F_OK) == 0)
      numbers.push_back(read_first_line(fmt::format("{}/{}/dev", directory, name)));
  return numbers;
}

void find_swap(const std::vector<std::string>& numbers, std::vector<DeviceFinding>& findings) {
  std::istringstream lines(read_small_file("/proc/swaps"));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    const auto number = number_of(line.substr(0, line.find_first_of(" \t")));
    if (number && std::ranges::count(numbers, to_text_number(*number)) > 0) findings.push_back({"used as swap", false});
  }
}

void find_holders(const DeviceIdentity& identity, std::vector<DeviceFinding>& findings) {
  for (const std::string& holder : list_directory(sysfs_directory(identity.number) + "/holders"))
    findings.push_back({"held by " + holder, false});
  for (const std::string& name : list_directory("/sys/block")) {
    if (!name.starts_with("loop")) continue;
    const auto backing = number_of(read_first_line(fmt::format("/sys/block/{}/loop/backing_file", name)));
    if (backing == identity.number) findings.push_back({"backs /dev/" + name, false});
  }
}

void find_directories(const std::vector<std::string>& numbers, std::vector<DeviceFinding>& findings) {
  for (const auto& [path, what] : {std::pair{"/", "holds the root filesystem"}, {".", "holds the working directory"}}) {
    struct stat status = {};
    if (stat(path, &status) == 0 && std::ranges::count(numbers, to_text_number(status.st_dev)) > 0)
      findings.push_back({what, false});
  }
}

std::vector<Holder> openers_besides_us(dev_t number) {
  std::vector<Holder> openers = openers_of(number);
  std::erase_if(openers, [](const Holder& opener) { return opener.process == getpid(); });
  return openers;
}

// Programs that only look at a device (losetup, udev) are gone in a moment.
std::vector<Holder> lasting_openers_of(dev_t number) {
  constexpr int looks = 5;
  std::vector<Holder> openers = openers_besides_us(number);
  for (int look = 1; look < looks && !openers.empty(); ++look) {
    wait_for_end_of_one(openers, std::chrono::milliseconds(100));
    openers = openers_besides_us(number);
  }
  return openers;
}

}  // namespace

Outcome<DeviceInspection> inspect_device(const std::string& path) {
  auto identity = identify_device(path);
  if (!identity) return identity.failure();
  DeviceInspection inspection{*identity, {}};
  auto& findings = inspection.findings;
  const std::vector<std::string> partitions = partitions_of(*identity);
  std::vector<std::string> numbers = partitions;
  numbers.push_back(to_text_number(identity->number));
  for (const std::string& mounted : mounts_of(numbers)) findings.push_back({mounted, false});
  const bool is_mounted = !findings.empty();
  find_swap(numbers, findings);
  find_holders(*identity, findings);
  find_directories(numbers, findings);
  // Of a mounted one the list would be long, and say nothing more.
  for (const Holder& opener : is_mounted ? std::vector<Holder>{} : lasting_openers_of(identity->number))
    findings.push_back({opener.text, false});
  if (identity->read_only) findings.push_back({"read-only", false});
  if (!partitions.empty()) findings.push_back({fmt::format("{} partitions", partitions.size()), true});
  const int descriptor = open(identity->real_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return system_failure("open " + path, errno);
  find_signatures(descriptor, findings);
  find_data(descriptor, identity->size_bytes, findings);
  close(descriptor);
  return inspection;
}

Action check_erasable(const DeviceInspection& inspection, bool named_to_erase) {
  std::string in_the_way;
  bool erasable = true;
  for (const DeviceFinding& finding : inspection.findings) {
    if (finding.erasable && named_to_erase) continue;
    in_the_way += (in_the_way.empty() ? "" : ", ") + finding.what;
    erasable = erasable && finding.erasable;
  }
  if (in_the_way.empty()) return Done{};
  const std::string& path = inspection.identity.path;
  return Failure{FailureKind::refused, fmt::format("{} is not erased: {}", path, in_the_way),
                 erasable ? fmt::format("if its contents may go, say --erase={}", path)
                          : "release it first (umount, swapoff, stop what holds it), or name another device"};
}

bool is_named(const DeviceIdentity& identity, const std::vector<std::string>& erase) {
  return std::ranges::any_of(erase, [&](const std::string& path) { return number_of(path) == identity.number; });
}

Outcome<DeviceClaim> DeviceClaim::claim(const std::string& path, const std::vector<std::string>& erase) {
  auto identity = identify_device(path);
  if (!identity) return identity.failure();
  DeviceClaim claim;
  claim.identity_ = *identity;
  const std::string& real_path = identity->real_path;
  claim.exclusive_ = open(real_path.c_str(), O_RDWR | O_EXCL | O_CLOEXEC | O_NOFOLLOW);
  const int exclusive_error = errno;
  // Inspect even when that failed: "mounted at /srv" helps more than "busy".
  auto inspection = inspect_device(path);
  if (!inspection) return inspection.failure();
  const Action allowed = check_erasable(*inspection, is_named(*identity, erase));
  if (!allowed) return allowed.failure();
  if (claim.exclusive_ < 0) {
    if (exclusive_error != EBUSY) return system_failure("open " + path, exclusive_error);
    return Failure{FailureKind::refused, path + " is in use: another program holds it exclusively",
                   "stop that program"};
  }
  struct stat status = {};
  if (fstat(claim.exclusive_, &status) != 0 || status.st_rdev != identity->number)
    return Failure{FailureKind::refused, path + " changed while it was looked at", "try again"};
  if (const Action locked = claim.lock(); !locked) return locked.failure();
  return claim;
}

Action DeviceClaim::lock() {
  locked_ = open(identity_.real_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (locked_ < 0) return system_failure("open " + identity_.path, errno);
  if (flock(locked_, LOCK_EX | LOCK_NB) == 0) return Done{};
  return Failure{FailureKind::refused, identity_.path + " is locked by another program", "wait until it is done"};
}

DeviceClaim::DeviceClaim(DeviceClaim&& other) noexcept
    : identity_(std::move(other.identity_)),
      exclusive_(std::exchange(other.exclusive_, -1)),
      locked_(std::exchange(other.locked_, -1)) {}

DeviceClaim& DeviceClaim::operator=(DeviceClaim&& other) noexcept {
  std::swap(identity_, other.identity_);
  std::swap(exclusive_, other.exclusive_);
  std::swap(locked_, other.locked_);
  return *this;
}

DeviceClaim::~DeviceClaim() {
  if (exclusive_ >= 0) close(exclusive_);
  if (locked_ >= 0) close(locked_);
}

Action DeviceClaim::lend(Borrower borrower) {
  if (number_of(identity_.real_path) != identity_.number)
    return Failure{FailureKind::refused, identity_.real_path + " is another device now", "nothing was written to it"};
  if (exclusive_ >= 0) close(exclusive_);
  exclusive_ = -1;
  if (borrower == Borrower::cowfs && locked_ >= 0) {
    close(locked_);
    locked_ = -1;
  }
  return Done{};
}

Action DeviceClaim::take_back() {
  if (exclusive_ >= 0) return Done{};
  exclusive_ = open(identity_.real_path.c_str(), O_RDWR | O_EXCL | O_CLOEXEC | O_NOFOLLOW);
  if (exclusive_ >= 0) return locked_ >= 0 ? Action(Done{}) : lock();
  return Failure{FailureKind::refused, fmt::format("{}: cannot be held again: {}", identity_.real_path,
                                                   std::strerror(errno)), "another program took it; the run is over"};
}

}  // namespace cowbench::harness
