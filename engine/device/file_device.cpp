// Exclusion differs by kind: O_EXCL on a block device keeps out mounts, other holders and other O_EXCL openers; on a
// file there is only the lock, which other programs of this project honour.
#include "engine/device/file_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <thread>
#include <utility>

#include "engine/base/assert.h"
#include "engine/device/write_through.h"

namespace cowfs::device {
namespace {

// Closes on scope exit unless released.
class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }

 private:
  int value_;
};

struct Geometry {
  u64 capacity = 0;
  bool discards = false;
  bool is_block = false;
};

class FileDevice final : public Device {
 public:
  FileDevice(std::string path, Descriptor descriptor, const Geometry& geometry, OpenMode mode)
      : path_(std::move(path)), descriptor_(std::move(descriptor)), geometry_(geometry), mode_(mode) {}

  Bytes capacity() const override { return {geometry_.capacity}; }
  std::string describe() const override { return path_; }
  bool discards() const override { return geometry_.discards; }
  void start(IoOperation& operation) override {
    if (mode_ == OpenMode::read_only && operation.kind != IoOperation::Kind::read) return answer(operation, -EROFS);
    const bool is_spared = geometry_.is_block && write_through_.begins(operation);
    if (is_spared) return answer(operation, 0);
    counters_.count(operation);
    if (operation.kind == IoOperation::Kind::discard && !geometry_.discards)
      return answer(operation, static_cast<i64>(operation.length));
    operation.observer = geometry_.is_block ? &write_through_ : nullptr;
    operation.file = descriptor_.get();
    runtime::this_reactor().submit(operation);
  }

 private:
  static void answer(IoOperation& operation, i64 result) {
    operation.result = result;
    operation.completed(operation);
  }

  std::string path_;
  Descriptor descriptor_;
  Geometry geometry_;
  OpenMode mode_;
  WriteThrough write_through_;  // of a block device; filesystems may make more of a durable write than of a flush
};

// The kernel turns hole punching on a block device into its zeroing command, which only some drivers have.
bool block_device_discards(dev_t device) {
  const std::string numbers = std::to_string(major(device)) + ":" + std::to_string(minor(device));
  for (const char* queue : {"/queue/", "/../queue/"}) {  // the disk's own, or that of the disk of a partition
    std::ifstream file("/sys/dev/block/" + numbers + queue + "write_zeroes_max_bytes");
    u64 bytes = 0;
    if (file >> bytes) return bytes > 0;
  }
  return false;
}

Result<Geometry> block_geometry(int file, const struct stat& status, OpenMode mode) {
  int sector = 0;
  int read_only = 0;
  Geometry geometry{.is_block = true};
  if (::ioctl(file, BLKSSZGET, &sector) != 0 || ::ioctl(file, BLKROGET, &read_only) != 0 ||
      ::ioctl(file, BLKGETSIZE64, &geometry.capacity) != 0) {
    return Error{Code::device_open_failed, static_cast<u64>(errno)};
  }
  if (static_cast<u64>(sector) > block_bytes)
    return Error{Code::device_sector_size_unsupported, static_cast<u64>(sector)};
  if (read_only != 0 && mode == OpenMode::read_write) return Error{Code::device_read_only};
  geometry.discards = block_device_discards(status.st_rdev);
  return geometry;
}

Error open_error(int number) {
  if (number == EBUSY) return Error{Code::device_in_use};
  if (number == EROFS) return Error{Code::device_read_only};
  return Error{Code::device_open_failed, static_cast<u64>(number)};
}

// Repeats `attempt` while it fails with `number`, for a second. The kernel takes a killed process's ring apart in the
// background, and until then its requests hold the files that the process had open.
template <typename Attempt>
int retry_while(int number, Attempt attempt) {
  constexpr int attempts_max = 50;
  constexpr std::chrono::milliseconds pause{20};
  int result = attempt();
  for (int count = 1; result < 0 && errno == number && count < attempts_max; ++count) {
    std::this_thread::sleep_for(pause);
    result = attempt();
  }
  return result;
}

}  // namespace

Result<std::unique_ptr<Device>> open_device(const std::string& path, OpenMode mode) {
  // Ask what it is before opening it: opening a tape or a terminal does something.
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return open_error(errno);
  const bool is_block = S_ISBLK(status.st_mode);
  if (!is_block && !S_ISREG(status.st_mode)) return Error{Code::device_not_block_or_file};

  const int access = (mode == OpenMode::read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | (is_block ? O_EXCL : 0);
  Descriptor descriptor{retry_while(EBUSY, [&] { return ::open(path.c_str(), access | O_DIRECT); })};
  // A filesystem in memory may know no direct I/O; the page cache then serves instead, and flushes still flush it.
  if (descriptor.get() < 0 && errno == EINVAL) descriptor = Descriptor{::open(path.c_str(), access)};
  if (descriptor.get() < 0) return open_error(errno);
  const int file = descriptor.get();

  // The path may name something else by now.
  if (::fstat(file, &status) != 0) return open_error(errno);
  if (S_ISBLK(status.st_mode) != is_block || S_ISREG(status.st_mode) == is_block) {
    return Error{Code::device_not_block_or_file};
  }
  const int locked = retry_while(EWOULDBLOCK, [file] { return ::flock(file, LOCK_EX | LOCK_NB); });
  if (locked != 0) return open_error(errno == EWOULDBLOCK ? EBUSY : errno);

  Geometry geometry{static_cast<u64>(status.st_size), true};
  if (is_block) {
    auto asked = block_geometry(file, status, mode);
    if (!asked) return asked.error();
    geometry = *asked;
  }
  geometry.capacity = round_down(geometry.capacity, block_bytes);
  std::unique_ptr<Device> device =
      std::make_unique<FileDevice>(path, std::move(descriptor), geometry, mode);
  return device;
}

}  // namespace cowfs::device
