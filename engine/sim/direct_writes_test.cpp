// Many small direct writes at once leave as few device writes.
#include <fcntl.h>

#include "engine/device/aligned_buffer.h"
#include "engine/sim/seeds_test_internal.h"
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {
namespace {

// One file with a region in each of four slices, all of one core, and lanes that write single blocks anywhere in it.
class Lanes {
 public:
  static constexpr u64 blocks = 4 * 64;
  static constexpr u64 lanes = 64;

  explicit Lanes(u64 seed)
      : random_(seed),
        filesystem_(make_filesystem({.device_bytes = 256 * mib, .slices = 4, .region_bytes = 64 * block_bytes, .seed = seed}),
                    {.seed = seed, .cores = 1}) {
    EXPECT_TRUE(filesystem_.mount().ok());
    const Result<FileHandle> opened = filesystem_.run(0, [this] {
      return filesystem_.operations().open("/file", O_RDWR | O_CREAT | O_DIRECT, 0644);
    });
    EXPECT_TRUE(opened.ok());
    file_ = *opened;
    const Status written = filesystem_.run(0, [this] { return write(0, blocks); });
    EXPECT_TRUE(written.ok());
  }
  ~Lanes() {
    const Status closed = filesystem_.run(0, [this] { return filesystem_.operations().close(file_); });
    EXPECT_TRUE(closed.ok());
  }

  // Device writes for each block written.
  double run(u64 writes) {
    left_ = writes;
    const u64 before = filesystem_.device().counts().writes;
    filesystem_.run(0, [this] { return run_lanes(); });
    return static_cast<double>(filesystem_.device().counts().writes - before) / static_cast<double>(writes);
  }

 private:
  Task<Status> write(u64 block, u64 count) {
    device::AlignedBuffer data(count * block_bytes);
    std::memset(data.data(), static_cast<int>(block % 251), data.size());
    const Result<u64> written = co_await filesystem_.operations().write(file_, block * block_bytes, data.span());
    if (!written) co_return written.error();
    co_return Status{};
  }
  Task<void> run_lane() {
    while (left_ > 0) {
      --left_;
      const Status written = co_await write(random_.below(blocks), 1);
      EXPECT_TRUE(written.ok());
    }
  }
  Task<void> run_lanes() {
    runtime::Gate gate;
    for (u64 lane = 0; lane < lanes; ++lane) gate.spawn(run_lane());
    co_await gate.drained();
  }

  Random random_;
  SimulatedFilesystem filesystem_;
  FileHandle file_;
  u64 left_ = 0;
};

// Each slice sent its own two writes, whatever the others did: three blocks a device write.
TEST(DirectWrites, of_many_lanes_over_many_slices_leave_together) {
  for (u64 seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Lanes lanes(seed);
    const double device_writes = lanes.run(8192);
    RecordProperty("device_writes_of_1000_blocks", static_cast<int>(1000 * device_writes));
    EXPECT_LT(device_writes, 1.0 / 8);
  }
}

// A direct write over what is dirty in a small cache, while others need its memory and the device takes its time.
class Replacement {
 public:
  static constexpr u64 file_bytes = 32 * block_bytes;
  static constexpr u64 other_bytes = 4 * mib;
  static constexpr std::byte buffered{1}, direct{2};

  explicit Replacement(u64 seed)
      : filesystem_(make_filesystem({.slices = 1, .region_bytes = 64 * mib, .seed = seed}),
                    {.seed = seed, .cores = 1, .cache_bytes = 1 * mib, .device = slow_writes()}) {
    EXPECT_TRUE(filesystem_.mount().ok());
    const Status made = filesystem_.run(0, [this] { return make(); });
    EXPECT_TRUE(made.ok());
  }
  ~Replacement() {
    const Status closed = filesystem_.run(0, [this] { return close(); });
    EXPECT_TRUE(closed.ok());
  }

  void run() {
    filesystem_.run(0, [this] { return run_all(); });
  }

 private:
  static device::SimDeviceSettings slow_writes() {
    device::SimDeviceSettings settings;
    settings.write_ns_min = settings.write_ns_max = 50'000'000;
    return settings;
  }
  fs::Operations& operations() { return filesystem_.operations(); }

  Task<Status> make() {
    for (FileHandle* handle : {&file_, &other_}) {
      const std::string name = handle == &file_ ? "/file" : "/other";
      const Result<FileHandle> opened = co_await operations().open(name, O_RDWR | O_CREAT, 0644);
      if (!opened) co_return opened.error();
      *handle = *opened;
    }
    const Result<FileHandle> past = co_await operations().open("/file", O_RDWR | O_DIRECT, 0);
    if (!past) co_return past.error();
    past_cache_ = *past;
    for (const FileHandle* handle : {&file_, &other_}) {
      const std::vector<std::byte> data(handle == &file_ ? file_bytes : other_bytes, std::byte{0});
      const Result<u64> written = co_await operations().write(*handle, 0, data);
      if (!written) co_return written.error();
    }
    co_return co_await operations().sync();
  }
  Task<Status> close() {
    for (const FileHandle* handle : {&file_, &past_cache_, &other_}) {
      const Status closed = co_await operations().close(*handle);
      if (!closed) co_return closed;
    }
    co_return Status{};
  }

  Task<void> run_all() {
    const std::vector<std::byte> data(file_bytes, buffered);
    const Result<u64> written = co_await operations().write(file_, 0, data);
    EXPECT_TRUE(written.ok());
    co_await read_other();
    runtime::Gate gate;
    gate.spawn(write_direct());
    gate.spawn(read_beside());
    co_await gate.drained();
  }
  Task<void> write_direct() {
    device::AlignedBuffer data(file_bytes);
    std::memset(data.data(), static_cast<int>(direct), file_bytes);
    const Result<u64> written = co_await operations().write(past_cache_, 0, data.span());
    EXPECT_TRUE(written.ok());
    done_ = true;
  }
  Task<void> read_beside() {
    co_await runtime::sleep_until(runtime::this_reactor().now_ns() + 10'000'000);  // the device has begun to write
    co_await read_other();
    EXPECT_FALSE(done_);
    std::vector<std::byte> data(file_bytes);
    const Result<u64> read = co_await operations().read(file_, 0, data);
    EXPECT_TRUE(read.ok());
    const auto is_one_of_both = [](std::byte byte) { return byte == buffered || byte == direct; };
    EXPECT_TRUE(std::all_of(data.begin(), data.end(), is_one_of_both));
  }
  Task<void> read_other() {
    std::vector<std::byte> data(64 * kib);
    for (u64 at = 0; at < other_bytes; at += data.size()) {
      const Result<u64> read = co_await operations().read(other_, at, data);
      EXPECT_TRUE(read.ok());
    }
  }

  SimulatedFilesystem filesystem_;
  FileHandle file_, past_cache_, other_;
  bool done_ = false;
};

// What was acknowledged before it began, or what it writes: nothing older.
TEST(DirectWrites, what_they_replace_in_the_cache_is_there_until_they_end) {
  for (u64 seed : seeds(4)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Replacement(seed).run();
  }
}

}  // namespace
}  // namespace cowfs::sim
