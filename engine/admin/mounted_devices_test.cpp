// Devices that go, come back and are replaced on real cores and image files, beside clients that verify what they read.
#include <array>
#include <atomic>

#include "engine/admin/test_image.h"
#include "engine/base/random.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::admin {
namespace {

constexpr u64 image_bytes = 160 * mib;
constexpr u64 file_bytes = 1 * mib;
constexpr u64 bytes_per_second = 512 * mib;
constexpr unsigned cores = 3;
using Kind = DeviceChange::Kind;

template <typename T>
void expect_ok(const Result<T>& result) {
  EXPECT_OK(result);
}

void fill(MutableByteSpan data, u64 seed) {
  Random random(seed);
  for (std::size_t at = 0; at < data.size(); at += block_bytes) data[at] = static_cast<std::byte>(random.next());
}

Task<void> expect_content(Filesystem* filesystem, std::string path, u64 seed, int flags) {
  const Result<FileHandle> file = co_await filesystem->open(path, O_RDONLY | flags, 0);
  EXPECT_OK(file);
  if (!file) co_return;
  device::AlignedBuffer expected(file_bytes), read(file_bytes);
  fill(expected.span(), seed);
  const Result<u64> moved = co_await filesystem->read(*file, 0, read.span());
  EXPECT_OK(moved);
  EXPECT_EQ(std::memcmp(read.data(), expected.data(), file_bytes), 0) << path;
  expect_ok(co_await filesystem->close(*file));
}

std::string file_name(unsigned core) { return "/file" + std::to_string(core); }

// Until told to end: writes a file anew, syncs it, and reads it past the cache.
Task<void> run_client(Filesystem* filesystem, unsigned core, std::atomic<bool>* ends, u64* newest, std::atomic<unsigned>* running) {
  device::AlignedBuffer data(file_bytes);
  for (u64 seed = core; !*ends; seed += cores) {
    const Result<FileHandle> file = co_await filesystem->open(file_name(core), O_RDWR | O_CREAT, 0644);
    EXPECT_OK(file);
    if (!file) break;
    fill(data.span(), seed);
    expect_ok(co_await filesystem->write(*file, 0, data.span()));
    expect_ok(co_await filesystem->fsync(*file));
    expect_ok(co_await filesystem->close(*file));
    *newest = seed;
    co_await expect_content(filesystem, file_name(core), seed, O_DIRECT);
  }
  running->fetch_sub(1);
  running->notify_all();
}

Task<Status> change_device(Filesystem* filesystem, Kind kind, u16 member) {
  const DeviceChange change{.kind = kind, .member = member};
  DeviceWork work;
  work.bytes_per_second = bytes_per_second;
  co_return co_await filesystem->change_device(change, work);
}

Task<void> change_devices(Filesystem* filesystem, std::string spare) {
  for (u16 round = 0; round < 3; ++round) {
    const u16 member = static_cast<u16>(1 - round % 2), other = static_cast<u16>(round % 2);
    expect_ok(co_await change_device(filesystem, Kind::offline, member));
    const Status refused = co_await change_device(filesystem, Kind::offline, other);
    EXPECT_EQ(refused.error().code, Code::pool_copies_needed);
    expect_ok(co_await change_device(filesystem, Kind::online, member));
  }
  expect_ok(co_await change_device(filesystem, Kind::offline, 0));
  DeviceWork work;
  work.path = spare;
  work.bytes_per_second = bytes_per_second;
  expect_ok(co_await filesystem->replace_device(0, work));
}

std::unique_ptr<Filesystem> mounted(std::vector<std::string> devices) {
  MountOptions options;
  options.devices = std::move(devices);
  options.degraded = true;
  options.cache_bytes = 48 * mib;
  options.cpus.assign(cores, 0);
  options.pin = false;
  auto filesystem = Filesystem::mount(options);
  EXPECT_OK(filesystem);
  return filesystem ? std::move(*filesystem) : nullptr;
}

TEST(MountedDevices, come_and_go_and_clients_read_what_they_wrote) {
  const TestImage first(image_bytes), second(image_bytes), spare(image_bytes);
  FormatOptions format;
  format.devices = {first.path(), second.path()};
  format.replicas = 2;
  ASSERT_TRUE(format_devices(format).ok());
  std::array<u64, cores> newest{};
  {
    const auto filesystem = mounted({first.path(), second.path()});
    ASSERT_NE(filesystem, nullptr);
    std::atomic<bool> ends = false;
    std::atomic<unsigned> running = cores;
    for (unsigned core = 0; core < cores; ++core)
      filesystem->start(core, [&, core] { return run_client(filesystem.get(), core, &ends, &newest[core], &running); });
    filesystem->run(0, [&] { return change_devices(filesystem.get(), spare.path()); });
    ends = true;
    for (unsigned left = running; left > 0; left = running) running.wait(left);
    expect_ok(filesystem->unmount());
  }
  const auto filesystem = mounted({spare.path()});
  ASSERT_NE(filesystem, nullptr);
  for (unsigned core = 0; core < cores; ++core)
    filesystem->run(0, [&, core] { return expect_content(filesystem.get(), file_name(core), newest[core], 0); });
  expect_ok(filesystem->unmount());
}

}  // namespace
}  // namespace cowfs::admin
