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

}  // namespace
}  // namespace cowfs::sim
