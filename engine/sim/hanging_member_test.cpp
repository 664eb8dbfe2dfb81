// One of several devices does not answer: it is given up in time, and nobody notices but for the time.
#include <fcntl.h>

#include "engine/device/aligned_buffer.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

constexpr u64 limit_ns = MountSettings{}.io_limit_ns;
constexpr u64 file_bytes = 256 * kib;

std::vector<FormatSettings> redundant_formats() {
  FormatSettings copies{.device_bytes = 80 * mib, .devices = 2, .replicas = 2, .slices = 2};
  FormatSettings shards{.device_bytes = 80 * mib, .devices = 3, .slices = 2};
  shards.erasure = {2, 1};
  return {copies, shards};
}

// Past the cache, so that the devices are asked.
Task<Status> read_file(fs::Operations* operations) {
  const Result<FileHandle> file = co_await operations->open("/file", O_RDONLY | O_DIRECT, 0);
  if (!file) co_return file.error();
  device::AlignedBuffer data(file_bytes / 4);
  for (u64 at = 0; at < file_bytes; at += data.size()) {
    const Result<u64> read = co_await operations->read(*file, at, data.span());
    if (!read) co_return read.error();
    EXPECT_EQ(*read, data.size());
    EXPECT_TRUE(std::all_of(data.span().begin(), data.span().end(), [](std::byte byte) { return byte == std::byte{7}; }));
  }
  co_return co_await operations->close(*file);
}

Task<Status> write_and_sync(fs::Operations* operations, FileHandle file) {
  const std::vector<std::byte> data(file_bytes, std::byte{7});
  const Result<u64> written = co_await operations->write(file, 0, data);
  if (!written) co_return written.error();
  co_return co_await operations->fsync(file);
}

Task<Status> write_file(fs::Operations* operations) {
  const Result<FileHandle> file = co_await operations->open("/file", O_RDWR | O_CREAT, 0644);
  if (!file) co_return file.error();
  const Status synced = co_await write_and_sync(operations, *file);
  const Status closed = co_await operations->close(*file);
  co_return synced ? closed : synced;
}

Task<Status> write_and_read(fs::Operations* operations) {
  const Status written = co_await write_file(operations);
  if (!written) co_return written;
  co_return co_await read_file(operations);
}

// What was synced is there without the device, and with it, as it was when the power went.
void expect_there(Images images, std::size_t without) {
  MountSettings degraded;
  degraded.degraded = true;
  for (const bool is_there : {true, false}) {
    if (!is_there) images[without] = Image{};
    SimulatedFilesystem filesystem(images, degraded);
    const Status mounted = filesystem.mount();
    ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
    const Status read = filesystem.run(0, [&] { return read_file(&filesystem.operations()); });
    EXPECT_TRUE(read.ok()) << to_text(read.error());
  }
}

TEST(HangingMember, nobody_notices_at_whatever_request_and_whoever_waits_is_answered_in_time) {
  for (const FormatSettings& format : redundant_formats()) {
    const Images images = make_devices(format);
    u64 hung = 0;
    for (u64 at = 1, met = 1; met > 0; ++at) {
      met = 0;
      for (std::size_t device = 0; device < images.size(); ++device) {
        SCOPED_TRACE("request " + std::to_string(at) + " of device " + std::to_string(device));
        SimulatedFilesystem filesystem(images, {.seed = at, .cores = 2});
        ASSERT_TRUE(filesystem.mount().ok());
        const u64 before = requests(filesystem.device(device));
        filesystem.device(device).set_faults({.hang_at = at});
        const u64 began_ns = filesystem.cores().now_ns();
        const Status done = filesystem.run(0, [&] { return write_and_read(&filesystem.operations()); });
        ASSERT_TRUE(done.ok()) << to_text(done.error());
        EXPECT_LT(filesystem.cores().now_ns() - began_ns, limit_ns * 3 / 2);
        if (requests(filesystem.device(device)) - before >= at) ++met;
        expect_there(filesystem.crash_images_all_lost(), device);
        EXPECT_TRUE(filesystem.close().ok());
      }
      hung += met;
    }
    EXPECT_GE(hung, 8u);
  }
}

// What the device reads in the end does not come into memory that is somebody else's by then.
Task<Status> read_and_use_memory_again(fs::Operations* operations, u64 until_ns) {
  const Result<FileHandle> file = co_await operations->open("/file", O_RDONLY | O_DIRECT, 0);
  if (!file) co_return file.error();
  device::AlignedBuffer data(file_bytes);
  for (u64 at = 0; at < file_bytes; at += 64 * kib) {
    const Result<u64> read = co_await operations->read(*file, at, data.span().subspan(at, 64 * kib));
    if (!read) co_return read.error();
  }
  std::fill(data.span().begin(), data.span().end(), std::byte{9});
  co_await runtime::sleep_until(until_ns);
  EXPECT_TRUE(std::all_of(data.span().begin(), data.span().end(), [](std::byte byte) { return byte == std::byte{9}; }));
  co_return co_await operations->close(*file);
}

TEST(HangingMember, what_it_reads_late_goes_into_nobodys_memory) {
  for (const FormatSettings& format : redundant_formats()) {
    const Images images = make_devices(format);
    for (std::size_t device = 0; device < images.size(); ++device) {
      SimulatedFilesystem filesystem(images, {.cores = 1});
      ASSERT_TRUE(filesystem.mount().ok());
      ASSERT_TRUE(filesystem.run(0, [&] { return write_file(&filesystem.operations()); }).ok());
      filesystem.device(device).set_faults({.hang_at = 1});
      const u64 later_ns = filesystem.cores().now_ns() + 2 * device::SimDeviceSettings{}.hang_ns;
      const Status read =
          filesystem.run(0, [&] { return read_and_use_memory_again(&filesystem.operations(), later_ns); });
      EXPECT_TRUE(read.ok()) << to_text(read.error());
      EXPECT_FALSE(filesystem.assembled().pool->is_current(static_cast<u16>(device)));
      EXPECT_TRUE(filesystem.close().ok());
    }
  }
}

// The last copy cannot be given up: it is as with one device.
TEST(HangingMember, without_another_copy_whoever_waits_for_a_commit_is_told_in_time) {
  MountSettings degraded;
  degraded.degraded = true;
  Images images = make_devices(redundant_formats().front());
  images[1] = Image{};
  SimulatedFilesystem filesystem(images, degraded);
  ASSERT_TRUE(filesystem.mount().ok());
  filesystem.device(0).set_faults({.hang_at = 3});
  const u64 began_ns = filesystem.cores().now_ns();
  const Status done = filesystem.run(0, [&] { return write_file(&filesystem.operations()); });
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(error_class(done.error().code), ErrorClass::io) << to_text(done.error());
  EXPECT_LT(filesystem.cores().now_ns() - began_ns, limit_ns * 3 / 2);
  filesystem.abandon();
}

}  // namespace
}  // namespace cowfs::sim
