// For tests that change the devices of a mounted filesystem: one that is mounted, files with known content, and what is left of them
// when a device is lost.
#pragma once
#include <fcntl.h>

#include <algorithm>

#include "engine/admin/mounted_devices.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {

using Kind = DeviceChange::Kind;

constexpr u64 file_bytes = 3 * mib;
constexpr format::Uuid new_uuid{7, 7, 7};

// Every block of `path` holds `value`.
inline Task<Status> write_file(fs::Operations* operations, std::string path, u8 value) {
  const Result<FileHandle> file = co_await operations->open(path, O_RDWR | O_CREAT, 0644);
  if (!file) co_return file.error();
  const std::vector<std::byte> data(file_bytes, std::byte{value});
  const Result<u64> written = co_await operations->write(*file, 0, data);
  if (!written) co_return written.error();
  const Status synced = co_await operations->fsync(*file);
  if (!synced) co_return synced;
  co_return co_await operations->close(*file);
}

inline Task<Result<bool>> holds(fs::Operations* operations, std::string path, u8 value) {
  const Result<FileHandle> file = co_await operations->open(path, O_RDONLY, 0);
  if (!file) co_return file.error();
  std::vector<std::byte> data(file_bytes);
  const Result<u64> read = co_await operations->read(*file, 0, data);
  if (!read) co_return read.error();
  const Status closed = co_await operations->close(*file);
  if (!closed) co_return closed.error();
  const bool is_same = std::all_of(data.begin(), data.end(), [value](std::byte byte) { return byte == std::byte{value}; });
  co_return *read == file_bytes && is_same;
}

inline FormatSettings copies_on(u64 devices, u8 replicas) {
  return {.device_bytes = 80 * mib, .devices = devices, .replicas = replicas, .slices = 2};
}

inline FormatSettings shards(u8 data, u8 parity) {
  FormatSettings format = copies_on(data + u64{parity}, 1);
  format.erasure = {data, parity};
  return format;
}

class Mount {
 public:
  explicit Mount(Images images, u64 seed = 1) : filesystem(std::move(images), settings(seed)) {
    const Status mounted = filesystem.mount();
    EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  }
  static MountSettings settings(u64 seed) {
    MountSettings settings{.seed = seed};
    settings.degraded = true;
    return settings;
  }

  Status write(const std::string& path, u8 value) {
    return filesystem.run(0, [&] { return write_file(&filesystem.operations(), path, value); });
  }
  bool has(const std::string& path, u8 value) {
    const Result<bool> same = filesystem.run(0, [&] { return holds(&filesystem.operations(), path, value); });
    EXPECT_TRUE(same.ok()) << path << ": " << to_text(same.error());
    return same.ok() && *same;
  }
  Status change(DeviceChange change, device::Device* found = nullptr, DeviceWork work = {}) {
    ++changes_;
    const format::Uuid uuid{8, static_cast<u8>(changes_), static_cast<u8>(changes_ >> 8)};
    return filesystem.run(
        0, [&] { return admin::change_mounted(filesystem.state(), filesystem.assembled(), change, found, uuid, work); });
  }
  Status replace(u16 member, device::Device* fresh) {
    return filesystem.run(
        0, [&] { return admin::replace_mounted(filesystem.state(), filesystem.assembled(), member, fresh, new_uuid, {}); });
  }
  bool is_current(u16 member) { return filesystem.assembled().pool->is_current(member); }
  Images closed() {
    const Status done = filesystem.close();
    EXPECT_TRUE(done.ok()) << to_text(done.error());
    return filesystem.images();
  }
  SimulatedFilesystem filesystem;

 private:
  static inline u16 changes_ = 0;  // of all mounts: the images of one are another's
};

inline Images loaded(const FormatSettings& format) {
  Mount mount(make_devices(format));
  EXPECT_TRUE(mount.write("/before", 1).ok());
  return mount.closed();
}

// Nobody is missing, and everything is there whichever device is lost.
inline void expect_whole(const Images& images, const std::vector<std::pair<std::string, u8>>& files) {
  {
    SimulatedFilesystem all(images, {});
    const Status mounted = all.mount();
    EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  }
  for (std::size_t lost = 0; lost < images.size(); ++lost) {
    SCOPED_TRACE("without " + std::to_string(lost));
    Images left = images;
    left[lost] = Image{};
    Mount mount(left);
    for (const auto& [path, value] : files) EXPECT_TRUE(mount.has(path, value)) << path;
    EXPECT_TRUE(none(findings_in(left)));
  }
}

inline Task<void> write_beside(fs::Operations* operations) {
  const Status written = co_await write_file(operations, "/beside", 3);
  EXPECT_TRUE(written.ok()) << to_text(written.error());
}

// The last, in which the new map comes to count, and some of those before.
inline std::vector<u64> some_moments(u64 count, Random& random) {
  std::vector<u64> moments;
  for (u64 i = 0; i < std::min<u64>(count, 8); ++i) moments.push_back(count - i);
  for (u64 i = 0; i < 8 / share_of_seeds + 1; ++i) moments.push_back(1 + random.below(count));
  return moments;
}

}  // namespace cowfs::sim
