// The end of a mount, whatever is under way.
#include <fcntl.h>

#include "engine/device/aligned_buffer.h"
#include "engine/sim/seeds_test_internal.h"
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {
namespace {

constexpr u64 region_bytes = 64 * kib;
constexpr u64 file_bytes = 40 * region_bytes;

Task<Status> make_file(fs::Operations* operations) {
  const Result<FileHandle> handle = co_await operations->open("/file", O_RDWR | O_CREAT, 0644);
  if (!handle) co_return handle.error();
  device::AlignedBuffer data(block_bytes);
  for (u64 at = 0; at < file_bytes; at += 2 * block_bytes) {  // an extent for each block
    const Result<u64> written = co_await operations->write(*handle, at, data.span());
    if (!written) co_return written.error();
  }
  co_return co_await operations->close(*handle);
}

// The parts of a removed file in other slices are removed by the core of its inode, on the cores of those slices. These had
// come to their end already, and had let go of what was still in use.
TEST(Unmount, waits_for_what_cores_do_for_each_other) {
  const FormatSettings format{.slices = 4, .region_bytes = region_bytes};
  MountSettings settings{.cores = 4};
  SimulatedFilesystem filesystem(make_filesystem(format), settings);
  ASSERT_TRUE(filesystem.mount().ok());
  const Status made = filesystem.run(0, [&] { return make_file(&filesystem.operations()); });
  ASSERT_TRUE(made.ok()) << to_text(made.error());
  ASSERT_TRUE(filesystem.close().ok());
  const Image image = filesystem.device().image();
  settings.node_cache_bytes = 64 * kib;  // so that there is much to wait for
  for (settings.seed = 1; settings.seed <= 20; ++settings.seed) {
    SimulatedFilesystem again(image, settings);
    ASSERT_TRUE(again.mount().ok());
    const Status removed = again.run(0, [&] { return again.operations().unlink("/file"); });
    ASSERT_TRUE(removed.ok());
    again.abandon();
  }
}

}  // namespace
}  // namespace cowfs::sim
