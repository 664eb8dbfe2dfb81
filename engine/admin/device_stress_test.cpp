// Devices come, go and are emptied under clients on real cores, which verify what they read: what the simulator, one thread, cannot
// show of cores that meet.
#include <atomic>

#include "engine/admin/test_image.h"
#include "engine/runtime/sync.h"

namespace cowfs::admin {
namespace {

constexpr unsigned cores = 2;
constexpr unsigned clients = 4;
constexpr u64 file_bytes = 256 * kib;
constexpr u64 files_of_each = 8;

class Stress {
 public:
  explicit Stress(Filesystem& filesystem) : filesystem_(filesystem) {
    for (unsigned client = 0; client < clients; ++client)
      filesystem.start(client % cores, [this, client] { return run(client); });
  }
  void change(DeviceChange change, const std::string& path = "") {
    filesystem_.run(0, [&] { return do_change(change, path); });
  }
  // Each wrote and read all its files at least once.
  void end() {
    stopped_ = true;
    for (unsigned left = running_.load(); left > 0; left = running_.load()) running_.wait(left);
    EXPECT_GE(rounds_.load(), clients * files_of_each);
  }

 private:
  Task<void> do_change(DeviceChange change, std::string path) {
    DeviceWork work;
    work.path = std::move(path);
    work.bytes_per_second = gib;
    const Status done = co_await filesystem_.change_device(std::move(change), std::move(work));
    EXPECT_OK(done);
  }
  Task<void> run(unsigned client) {
    for (u64 round = 0; round < files_of_each || !stopped_; ++round) {
      const Status done = co_await write_and_read(client, round);
      EXPECT_OK(done);
      if (!done) break;
      ++rounds_;
    }
    --running_;
    running_.notify_all();
  }
  Task<Status> write_and_read(unsigned client, u64 round) {
    const std::string path = "/" + std::to_string(client) + "-" + std::to_string(round % files_of_each);
    const auto file = co_await filesystem_.open(path, O_RDWR | O_CREAT, 0644);
    if (!file) co_return file.error();
    std::vector<std::byte> data(file_bytes, static_cast<std::byte>(round));
    const auto written = co_await filesystem_.write(*file, 0, data);
    if (!written) co_return written.error();
    const Status synced = co_await filesystem_.fsync(*file);
    if (!synced) co_return synced;
    const Status closed = co_await filesystem_.close(*file);
    if (!closed || round < files_of_each - 1) co_return closed;
    co_return co_await expect("/" + std::to_string(client) + "-" + std::to_string((round + 1) % files_of_each),
                              static_cast<std::byte>(round + 1 - files_of_each));
  }
  Task<Status> expect(std::string path, std::byte value) {
    const auto file = co_await filesystem_.open(path, O_RDONLY, 0);
    if (!file) co_return file.error();
    std::vector<std::byte> data(file_bytes);
    const auto read = co_await filesystem_.read(*file, 0, data);
    if (!read) co_return read.error();
    EXPECT_TRUE(std::all_of(data.begin(), data.end(), [value](std::byte byte) { return byte == value; })) << path;
    co_return co_await filesystem_.close(*file);
  }

  Filesystem& filesystem_;
  std::atomic<bool> stopped_{false};
  std::atomic<unsigned> running_{clients};
  std::atomic<u64> rounds_{0};
};

using Kind = DeviceChange::Kind;

// Some devices and one that comes, and a page cache so small that most is read from them.
struct Devices {
  Devices(std::size_t count, u8 replicas, ErasureCoding erasure = {}) : images(count) {
    FormatOptions format;
    for (const TestImage& image : images) format.devices.push_back(image.path());
    format.replicas = replicas;
    format.erasure = erasure;
    format.slices = cores;
    EXPECT_OK(format_devices(format));
    MountOptions options;
    options.devices = format.devices;
    options.cache_bytes = 4 * mib;
    options.populate_cache = false;
    options.cpus.assign(cores, 0);
    options.pin = false;
    auto mounted = Filesystem::mount(options);
    EXPECT_OK(mounted);
    if (mounted) filesystem = std::move(*mounted);
  }
  void expect_clean_after_unmount(const DeviceNames& left) {
    EXPECT_OK(filesystem->unmount());
    filesystem.reset();
    const Result<CheckReport> report = check(left, {});
    ASSERT_TRUE(report.ok()) << to_text(report.error());
    EXPECT_TRUE(report->clean()) << findings_text(*report);
  }
  // All but the first ones, and the one that came.
  DeviceNames names(std::size_t without) const {
    std::vector<std::string> all;
    for (std::size_t i = without; i < images.size(); ++i) all.push_back(images[i].path());
    all.push_back(coming.path());
    return all;
  }
  struct Sized : TestImage {
    Sized() : TestImage(256 * mib) {}
  };
  const std::vector<Sized> images;
  const Sized coming;
  std::unique_ptr<Filesystem> filesystem;
};

void come_and_go(Devices& devices, u16 coming) {
  ASSERT_NE(devices.filesystem, nullptr);
  Stress stress(*devices.filesystem);
  stress.change({.kind = Kind::spare}, devices.coming.path());
  stress.change({.kind = Kind::evacuate, .member = 0});
  stress.change({.kind = Kind::offline, .member = 1});
  stress.change({.kind = Kind::online, .member = 1});
  stress.change({.kind = Kind::resize, .member = 0});
  stress.change({.kind = Kind::label, .member = coming, .label = "rack"});
  stress.end();
  devices.expect_clean_after_unmount(devices.names(0));
}

TEST(DeviceStress, clients_notice_nothing_of_devices_that_come_and_go) {
  Devices devices(2, 2);
  come_and_go(devices, 2);
}

TEST(DeviceStress, in_stripes_neither) {
  Devices devices(3, 1, {2, 1});
  come_and_go(devices, 3);
}

void let_first_go(Devices& devices) {
  ASSERT_NE(devices.filesystem, nullptr);
  Stress stress(*devices.filesystem);
  stress.change({.kind = Kind::spare}, devices.coming.path());
  stress.change({.kind = Kind::remove, .member = 0});
  stress.end();
  devices.expect_clean_after_unmount(devices.names(1));
}

TEST(DeviceStress, one_leaves_and_the_others_have_everything) {
  Devices devices(2, 1);
  let_first_go(devices);
}

TEST(DeviceStress, one_leaves_and_its_stripes_are_on_others) {
  Devices devices(4, 1, {2, 2});
  let_first_go(devices);
}

// Shards move so that all have room.
TEST(DeviceStress, one_more_brings_stripes) {
  Devices devices(3, 1, {2, 1});
  ASSERT_NE(devices.filesystem, nullptr);
  Stress stress(*devices.filesystem);
  stress.change({.kind = Kind::add}, devices.coming.path());
  stress.end();
  devices.expect_clean_after_unmount(devices.names(0));
}

}  // namespace
}  // namespace cowfs::admin
