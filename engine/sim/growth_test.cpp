// Files that grow in other slices than their own.
#include <fcntl.h>

#include "engine/sim/seeds_test_internal.h"
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {
namespace {

// A file that a write makes longer, in a region of another slice, for the first time since it was mounted, while somebody syncs.
class GrowthBesideSync {
 public:
  static constexpr u64 region_bytes = 256 * kib;
  static constexpr u64 begin = 3 * region_bytes + 60 * kib;
  static constexpr u64 step_bytes = 20 * kib;
  static constexpr u64 end = begin + 2 * step_bytes;

  explicit GrowthBesideSync(u64 seed) : seed_(seed) {
    image_ = make_filesystem({.device_bytes = 64 * mib, .slices = 4, .region_bytes = region_bytes, .seed = seed});
  }

  // The size that it has after having been mounted anew.
  u64 run() {
    mounted([this] { return make(); });
    mounted([this] { return grow(); });
    u64 size = 0;
    mounted([this, &size] { return look(&size); });
    return size;
  }

 private:
  template <typename Function>
  void mounted(Function function) {
    SimulatedFilesystem filesystem(image_, {.seed = ++seed_, .cores = 2});
    filesystem_ = &filesystem;
    EXPECT_TRUE(filesystem.mount().ok());
    filesystem.run(0, function);
    EXPECT_TRUE(filesystem.close().ok());
    image_ = filesystem.device().image();
  }
  Task<FileHandle> open() {
    const Result<FileHandle> opened = co_await filesystem_->operations().open("/file", O_RDWR | O_CREAT, 0644);
    EXPECT_TRUE(opened.ok());
    co_return *opened;
  }
  Task<void> close(FileHandle file) {
    const Status closed = co_await filesystem_->operations().close(file);
    EXPECT_TRUE(closed.ok());
  }
  Task<void> make() {
    const FileHandle file = co_await open();
    co_await write(file, begin);
    co_await close(file);
  }
  Task<void> grow() {
    const FileHandle file = co_await open();
    runtime::Gate gate;
    gate.spawn(write(file, begin + step_bytes));
    gate.spawn(sync());
    co_await gate.drained();
    co_await close(file);
    co_await sync();
  }
  Task<void> write(FileHandle file, u64 offset) {
    const std::vector<std::byte> data(step_bytes, std::byte{0x5a});
    const Result<u64> written = co_await filesystem_->operations().write(file, offset, data);
    EXPECT_TRUE(written.ok());
  }
  Task<void> sync() {
    const Status synced = co_await filesystem_->operations().sync();
    EXPECT_TRUE(synced.ok());
  }
  Task<void> look(u64* size) {
    const FileHandle file = co_await open();
    const Result<Attributes> found = co_await filesystem_->operations().stat(file);
    EXPECT_TRUE(found.ok());
    *size = found->size;
    co_await close(file);
  }

  u64 seed_;
  Image image_;
  SimulatedFilesystem* filesystem_ = nullptr;
};

// Attributes that were put into the tree counted as clean, although the end of the file had moved on: neither a sync nor an unmount
// stored it then, and a file that was let go of in memory had its old size.
TEST(Growth, in_another_slice_survives_a_sync_beside_it) {
  for (u64 seed : seeds(100)) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    ASSERT_EQ(GrowthBesideSync(seed * 1000).run(), GrowthBesideSync::end);
  }
}

}  // namespace
}  // namespace cowfs::sim
