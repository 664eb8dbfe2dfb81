// A load for a build that counts where its branches go (cmake/profile.cmake): clients that make, write, flush, read, list, rename and
// remove files of some sizes, and lanes of small direct writes and reads. It is no load whose figures are shown.
//
//   training FOLDER
#include <fcntl.h>
#include <fmt/format.h>

#include <fstream>
#include <thread>

#include "engine/admin/bench_image_internal.h"
#include "engine/base/random.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs {
namespace {

constexpr unsigned cores = 2;
constexpr u64 image_bytes = 768 * mib;
constexpr u64 clients_a_core = 12, passes = 40, files = 12, file_bytes_max = 256 * kib, piece_bytes_max = 60 * kib;
constexpr u64 lanes_a_core = 32, lane_operations = 2000, lane_file_blocks = 8192;

Task<void> write_file(Filesystem& filesystem, Random& random, std::string path, std::vector<std::byte>& buffer) {
  const Result<FileHandle> file = co_await filesystem.open(path, O_CREAT | O_RDWR, 0644);
  expect_ok(file);
  const u64 size = random.below(file_bytes_max);
  for (u64 offset = 0; offset < size;) {
    const u64 bytes = std::min(size - offset, 1 + random.below(piece_bytes_max));
    const Result<u64> written = co_await filesystem.write(*file, offset, ByteSpan(buffer).first(bytes));
    expect_ok(written);
    offset += bytes;
  }
  if (random.one_in(3)) expect_ok(co_await filesystem.fsync(*file));
  expect_ok(co_await filesystem.close(*file));
}

Task<void> read_file(Filesystem& filesystem, std::string path, std::vector<std::byte>& buffer) {
  const Result<FileHandle> file = co_await filesystem.open(path, O_RDONLY, 0);
  expect_ok(file);
  const Result<Attributes> attributes = co_await filesystem.stat(*file);
  expect_ok(attributes);
  for (u64 offset = 0; offset < attributes->size; offset += piece_bytes_max) {
    const Result<u64> read = co_await filesystem.read(*file, offset, buffer);
    expect_ok(read);
  }
  expect_ok(co_await filesystem.close(*file));
}

Task<void> pass(Filesystem& filesystem, Random& random, std::string directory, std::vector<std::byte>& buffer) {
  const auto path = [&](u64 number) { return fmt::format("{}/DOCUMENT-{}.DOC", directory, number); };
  for (u64 number = 0; number < files; ++number) {
    const std::string made = path(number);
    const Result<Attributes> absent = co_await filesystem.stat(made, true);
    assert(!absent);
    co_await write_file(filesystem, random, made, buffer);
  }
  for (u64 turn = 0; turn < 4 * files; ++turn) {
    const std::string chosen = path(random.below(files));
    const Result<Attributes> found = co_await filesystem.stat(chosen, true);
    expect_ok(found);
    co_await read_file(filesystem, chosen, buffer);
    if (turn % 16 == 0) co_await list_directory(filesystem, directory);
  }
  const std::string first = path(0), moved = path(files);
  expect_ok(co_await filesystem.rename(first, moved, 0));
  for (u64 number = 1; number <= files; ++number) {
    const std::string gone = path(number);
    expect_ok(co_await filesystem.unlink(gone));
  }
}

Task<void> client(Filesystem& filesystem, u64 number) {
  Random random(number);
  std::vector<std::byte> buffer(piece_bytes_max, std::byte{0x37});
  const std::string home = fmt::format("/client-{}", number), directory = home + "/LETTERS";
  expect_ok(co_await filesystem.mkdir(home, 0755));
  expect_ok(co_await filesystem.mkdir(directory, 0755));
  for (u64 turn = 0; turn < passes; ++turn) co_await pass(filesystem, random, directory, buffer);
  expect_ok(co_await filesystem.rmdir(directory));
  expect_ok(co_await filesystem.rmdir(home));
}

Task<void> lane(Filesystem& filesystem, std::string path, u64 number) {
  Random random(number);
  device::AlignedBuffer block(block_bytes);
  const Result<FileHandle> file = co_await filesystem.open(path, O_CREAT | O_RDWR | O_DIRECT, 0644);
  expect_ok(file);
  for (u64 turn = 0; turn < lane_operations; ++turn) {
    const u64 offset = random.below(lane_file_blocks) * block_bytes;
    if (turn % 4 == 3) {
      const Result<u64> read = co_await filesystem.read(*file, offset, block.span());
      expect_ok(read);
    } else {
      const Result<u64> written = co_await filesystem.write(*file, offset, block.span());
      expect_ok(written);
    }
  }
  expect_ok(co_await filesystem.close(*file));
}

// Starts `count` of them on each core and returns when all have ended.
void run_all(Filesystem& filesystem, u64 count, const std::function<Task<void>(u64 number)>& make) {
  std::vector<std::thread> waiting;  // run() waits: one thread of ours for each
  for (u64 number = 0; number < count * cores; ++number)
    waiting.emplace_back([&, number] {
      filesystem.run(static_cast<unsigned>(number % cores), [&make, number] { return make(number); });
    });
  for (std::thread& thread : waiting) thread.join();
}

void train(const std::string& folder) {
  const std::string image = folder + "/image";
  std::ofstream(image).close();
  std::filesystem::resize_file(image, image_bytes);
  FormatOptions format;
  format.devices = {image};
  format.cores = cores;
  expect_ok(format_devices(format));
  MountOptions options;
  options.devices = {image};
  options.cpus = {0, 1};
  options.pin = false;
  options.cache_bytes = image_bytes / 3;
  auto mounted = Filesystem::mount(options);
  expect_ok(mounted);
  Filesystem& filesystem = **mounted;
  run_all(filesystem, clients_a_core, [&](u64 number) { return client(filesystem, number); });
  run_all(filesystem, lanes_a_core, [&](u64 number) { return lane(filesystem, fmt::format("/lanes-{}", number % cores), number); });
  expect_ok(filesystem.unmount());
}

}  // namespace
}  // namespace cowfs

int main(int count, char** arguments) {
  if (count != 2) {
    fmt::print(stderr, "usage: training FOLDER\n");
    return 2;
  }
  cowfs::train(arguments[1]);
}
