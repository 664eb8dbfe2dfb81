// For benches: an image file that goes with the object, what to do with errors, and a directory listed from end to end.
//
//   COWFS_BENCH_DEVICE=/dev/loop7 build/bin/admin_bench     # instead of an image in /var/tmp; ERASES the device
#pragma once
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "engine/base/assert.h"
#include "engine/engine.h"

namespace cowfs {

// True when the bench runs only to show that it still does.
inline bool is_tiny_bench() { return std::getenv("COWBENCH_TINY") != nullptr; }

class BenchImage {
 public:
  explicit BenchImage(u64 bytes) {
    if (const char* device = std::getenv("COWFS_BENCH_DEVICE")) {
      path_ = device;
      return;
    }
    path_ = "/var/tmp/cowfs_bench_XXXXXX";
    const int file = mkstemp(path_.data());
    const bool made = file >= 0 && ftruncate(file, static_cast<off_t>(bytes)) == 0;
    assert(made);
    close(file);
    is_ours_ = true;
  }
  ~BenchImage() {
    if (is_ours_) std::filesystem::remove(path_);
  }
  BenchImage(const BenchImage&) = delete;
  BenchImage& operator=(const BenchImage&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool is_ours_ = false;
};

inline void expect_ok(const Status& status) {
  if (status) return;
  fmt::print(stderr, "bench: {}\n", to_text(status.error()));
  std::abort();
}
template <typename T>
void expect_ok(const Result<T>& result) {
  expect_ok(result ? Status{} : Status{result.error()});
}

inline Task<void> list_directory(Filesystem& filesystem, std::string path) {
  const Result<FileHandle> directory = co_await filesystem.open(path, O_RDONLY | O_DIRECTORY, 0);
  expect_ok(directory);
  std::vector<std::byte> buffer(32 * kib);
  u64 cookie = 0;
  while (true) {
    const Result<DirectoryRead> read = co_await filesystem.read_directory(*directory, cookie, buffer);
    expect_ok(read);
    if (read->bytes == 0) break;
    cookie = read->next_cookie;
  }
  expect_ok(co_await filesystem.close(*directory));
}

}  // namespace cowfs
