// Reads past the cache beside writes through it.
#include <fcntl.h>

#include "engine/device/aligned_buffer.h"
#include "engine/sim/seeds_test_internal.h"
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {
namespace {

class ReadBesideFsync {
 public:
  static constexpr u64 blocks = 64;

  explicit ReadBesideFsync(u64 seed)
      : random_(seed),
        filesystem_(make_filesystem({.device_bytes = 256 * mib, .slices = 1, .seed = seed}), {.seed = seed, .cores = 1}) {
    EXPECT_TRUE(filesystem_.mount().ok());
    direct_ = open(O_DIRECT);
    cached_ = open(0);
  }
  ~ReadBesideFsync() {
    for (const FileHandle file : {direct_, cached_}) {
      const Status closed = filesystem_.run(0, [&] { return filesystem_.operations().close(file); });
      EXPECT_TRUE(closed.ok());
    }
  }
  void turn() {
    filesystem_.run(0, [this] { return make_extents(); });
    filesystem_.run(0, [this] { return read_and_write(); });
  }

 private:
  FileHandle open(int flags) {
    const Result<FileHandle> opened = filesystem_.run(
        0, [&] { return filesystem_.operations().open("/file", O_RDWR | O_CREAT | flags, 0644); });
    EXPECT_TRUE(opened.ok());
    return *opened;
  }
  // One a block, none of them cached.
  Task<void> make_extents() {
    const Status cut = co_await filesystem_.operations().truncate(cached_, 0);
    EXPECT_TRUE(cut.ok());
    device::AlignedBuffer block(block_bytes);
    for (u64 i = blocks; i-- > 0;) {
      const Result<u64> written = co_await filesystem_.operations().write(direct_, i * block_bytes, block.span());
      EXPECT_TRUE(written.ok());
    }
  }
  Task<void> read() {
    device::AlignedBuffer into(blocks * block_bytes);
    const Result<u64> read = co_await filesystem_.operations().read(direct_, 0, into.span());
    EXPECT_TRUE(read.ok()) << to_text(read.error());
  }
  Task<void> write_and_sync() {
    const std::vector<std::byte> data(block_bytes, std::byte{0x5a});
    for (u64 i = 0; i < 4; ++i) {
      const u64 block = random_.below(blocks);
      const Result<u64> written = co_await filesystem_.operations().write(cached_, block * block_bytes, data);
      EXPECT_TRUE(written.ok());
      const Status synced = co_await filesystem_.operations().fsync(cached_);
      EXPECT_TRUE(synced.ok());
    }
  }
  Task<void> read_and_write() {
    runtime::Gate gate;
    gate.spawn(read());
    gate.spawn(write_and_sync());
    gate.spawn(read());
    co_await gate.drained();
  }

  Random random_;
  SimulatedFilesystem filesystem_;
  FileHandle direct_, cached_;
};

// The key of an fsync's data is in the tree before they are on the device; the cache has them until then. A read that had found the block
// uncached, and then waited for the extents before it, went to the device and said that what was there is damaged.
TEST(DirectReads, see_what_an_fsync_beside_them_has_not_yet_put_on_the_device) {
  for (u64 seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    ReadBesideFsync beside(seed);
    for (u64 turn = 0; turn < 20; ++turn) beside.turn();
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace cowfs::sim
