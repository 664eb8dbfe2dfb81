// Hardly any memory for nodes, and many at once who want some: whoever needs several nodes goes on all the same.
#include <fcntl.h>
#include <linux/falloc.h>

#include <cerrno>

#include "engine/device/aligned_buffer.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

constexpr u64 directories = 2;
constexpr u64 files = 400;      // in each directory: more than one leaf of names, of inodes and of tiny files
constexpr u64 fragments = 1200;  // of one file in each directory, a hole behind each block

// What it does has its outcome checked, not its data: other tests compare that with the model.
class Crowd {
 public:
  explicit Crowd(SimulatedFilesystem& filesystem) : filesystem_(filesystem) {}

  Task<void> set_up(u64 directory) {
    const std::string path = directory_of(directory);
    const auto made = co_await operations().mkdir(path, 0755);
    expect(made);
    for (u64 file = 0; file < files; ++file) {
      const std::string name = path_of(directory, file);
      co_await write_small(name);
      if (file % 4 == 0) co_await set_attribute(name);
    }
    const std::string scattered = scattered_of(directory);
    co_await scatter(scattered);
    const auto synced = co_await operations().sync();
    expect(synced);
  }

  // Of `clients` at once, each so many operations.
  Task<void> run(u64 clients, u64 count, u64 seed) {
    runtime::Gate gate;
    for (u64 client = 0; client < clients; ++client) gate.spawn(run_one(client, count, seed));
    co_await gate.drained();
  }

 private:
  fs::Operations& operations() { return filesystem_.operations(); }
  static std::string directory_of(u64 directory) { return "/d" + std::to_string(directory); }
  static std::string path_of(u64 directory, u64 file) { return directory_of(directory) + "/a-file-" + std::to_string(file); }
  static std::string scattered_of(u64 directory) { return directory_of(directory) + "/scattered"; }

  // Others rename and remove the same names.
  static void expect(const Status& status) {
    const bool expected = status.ok() || to_errno(status.error().code) == ENOENT;
    EXPECT_TRUE(expected) << to_text(status.error());
  }
  template <typename T>
  static void expect(const Result<T>& result) {
    expect(result.ok() ? Status{} : Status{result.error()});
  }

  Task<void> run_one(u64 client, u64 count, u64 seed) {
    auto there = [this, client, count, seed] { return run_here(client, count, seed); };
    co_await runtime::on(static_cast<runtime::CoreIndex>(client % filesystem_.core_count()), std::move(there));
  }

  Task<void> run_here(u64 client, u64 count, u64 seed) {
    Random random(seed * 1000 + client);
    for (u64 i = 0; i < count && !testing::Test::HasFailure(); ++i) {
      const std::string path = path_of(random.below(directories), random.below(files));
      const std::string other = path_of(random.below(directories), random.below(files));
      const std::string scattered = scattered_of(random.below(directories));
      const std::string directory = directory_of(random.below(directories));
      switch (random.below(10)) {
        case 0: {
          const auto looked = co_await operations().stat(path, true);
          expect(looked);
          break;
        }
        case 1: {
          const auto renamed = co_await operations().rename(path, other, 0);
          expect(renamed);
          break;
        }
        case 2: {
          const auto removed = co_await operations().unlink(path);
          expect(removed);
          co_await write_small(path);
          break;
        }
        case 3:
          co_await set_attribute(path);
          break;
        case 4:
          co_await list(directory);
          break;
        case 5:
          co_await read_small(path);
          break;
        case 6:
          co_await overwrite(scattered, random, 0);
          break;
        case 7:
          co_await overwrite(scattered, random, O_DIRECT);
          break;
        case 8:
          co_await punch(scattered, random);
          break;
        default:
          co_await read(scattered, random);
          break;
      }
    }
  }

  Task<void> write_small(std::string path) {
    const Result<FileHandle> handle = co_await operations().open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    expect(handle);
    if (!handle) co_return;
    const std::string text(100, 't');
    const auto written = co_await operations().write(*handle, 0, bytes_of_text(text));
    expect(written);
    const auto synced = co_await operations().fsync(*handle);
    expect(synced);
    const auto closed = co_await operations().close(*handle);
    expect(closed);
  }

  Task<void> read_small(std::string path) {
    const Result<FileHandle> handle = co_await operations().open(path, O_RDONLY, 0);
    expect(handle);
    if (!handle) co_return;
    std::array<std::byte, 200> into;
    const auto got = co_await operations().read(*handle, 0, into);
    expect(got);
    const auto closed = co_await operations().close(*handle);
    expect(closed);
  }

  Task<void> set_attribute(std::string path) {
    const std::string value(700, 'v');
    const auto set = co_await operations().set_xattr(path, "user.memory", bytes_of_text(value));
    expect(set);
  }

  Task<void> list(std::string path) {
    const Result<FileHandle> handle = co_await operations().open(path, O_RDONLY | O_DIRECTORY, 0);
    expect(handle);
    if (!handle) co_return;
    std::vector<std::byte> into(4096);
    u64 cookie = 0;
    while (true) {
      const Result<DirectoryRead> read = co_await operations().read_directory(*handle, cookie, into);
      expect(read);
      if (!read || read->bytes == 0) break;
      cookie = read->next_cookie;
    }
    const auto closed = co_await operations().close(*handle);
    expect(closed);
  }

  Task<void> scatter(std::string path) {
    const Result<FileHandle> handle = co_await operations().open(path, O_RDWR | O_CREAT | O_DIRECT, 0644);
    expect(handle);
    if (!handle) co_return;
    device::AlignedBuffer block(block_bytes);
    std::memset(block.data(), 1, block.size());
    for (u64 i = 0; i < fragments; ++i) {
      const auto written = co_await operations().write(*handle, 2 * i * block_bytes, block.span());
      expect(written);
    }
    const auto closed = co_await operations().close(*handle);
    expect(closed);
  }

  // Replaces up to 16 extents.
  Task<void> overwrite(std::string path, Random& random, int flags) {
    const Result<FileHandle> handle = co_await operations().open(path, O_RDWR | flags, 0);
    expect(handle);
    if (!handle) co_return;
    device::AlignedBuffer data((1 + random.below(32)) * block_bytes);
    std::memset(data.data(), 2, data.size());
    const auto written = co_await operations().write(*handle, random.below(2 * fragments) * block_bytes, data.span());
    expect(written);
    const auto synced = co_await operations().fsync(*handle);
    expect(synced);
    const auto closed = co_await operations().close(*handle);
    expect(closed);
  }

  Task<void> punch(std::string path, Random& random) {
    const Result<FileHandle> handle = co_await operations().open(path, O_RDWR, 0);
    expect(handle);
    if (!handle) co_return;
    const u64 offset = random.below(2 * fragments * block_bytes);
    const u64 length = 1 + random.below(100 * block_bytes);
    const auto punched = co_await operations().allocate(*handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    expect(punched);
    const auto closed = co_await operations().close(*handle);
    expect(closed);
  }

  Task<void> read(std::string path, Random& random) {
    const Result<FileHandle> handle = co_await operations().open(path, O_RDONLY, 0);
    expect(handle);
    if (!handle) co_return;
    std::vector<std::byte> into(1 + random.below(40 * block_bytes));
    const u64 offset = random.below(2 * fragments * block_bytes);
    const auto got = co_await operations().read(*handle, offset, into);
    expect(got);
    const Result<u64> hole = co_await operations().seek(*handle, offset, SEEK_HOLE);
    const bool expected = hole.ok() || to_errno(hole.error().code) == ENXIO;
    EXPECT_TRUE(expected) << to_text(hole.error());
    const auto closed = co_await operations().close(*handle);
    expect(closed);
  }

  static ByteSpan bytes_of_text(const std::string& text) {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
  }

  SimulatedFilesystem& filesystem_;
};

// Bringing a node in sends others away. Who needed three of them lost the first while the third was read, and began anew, for
// ever: a transaction that replaces extents of several leaves, or two tasks in turns.
TEST(NodeMemory, everybody_gets_the_nodes_that_they_need_together) {
  for (u64 seed : seeds(6)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    MountSettings settings{.seed = seed, .cores = 2, .cache_bytes = 2 * mib};
    Image image = make_filesystem({.slices = static_cast<u16>(2 << seed % 2), .region_bytes = 64 * mib, .seed = seed});
    {
      SimulatedFilesystem filesystem(image, settings);
      ASSERT_TRUE(filesystem.mount().ok());
      Crowd crowd(filesystem);
      for (u64 directory = 0; directory < directories; ++directory) {
        const auto core = static_cast<runtime::CoreIndex>(directory % filesystem.core_count());
        filesystem.run(core, [&] { return crowd.set_up(directory); });
      }
      ASSERT_TRUE(filesystem.close().ok());
      image = filesystem.device().crash_image_all_lost();
    }
    settings.node_cache_bytes = 0;
    settings.cores = static_cast<u16>(1 + seed % 2);
    settings.inodes_max = 16;
    settings.steps_max = 20'000'000;
    SimulatedFilesystem filesystem(image, settings);
    ASSERT_TRUE(filesystem.mount().ok());
    Crowd crowd(filesystem);
    filesystem.run(0, [&] { return crowd.run(8, 60, seed); });
    const Status closed = filesystem.close();
    EXPECT_TRUE(closed.ok()) << to_text(closed.error());
    expect_sound(filesystem.device().crash_image_all_lost());
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace cowfs::sim
