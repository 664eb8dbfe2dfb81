// For tests: an image file, a filesystem on it, and what is expected of it.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/admin/tools.h"
#include "engine/engine.h"

namespace cowfs::admin {

#define EXPECT_OK(result) EXPECT_TRUE((result).ok()) << to_text((result).error())

// A file in /var/tmp that goes with the object.
class TestImage {
 public:
  explicit TestImage(u64 bytes) {
    char path[] = "/var/tmp/cowfs_admin_XXXXXX";
    const int file = mkstemp(path);
    path_ = path;
    if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) std::abort();
    close(file);
  }
  explicit TestImage(const TestImage& other) : TestImage(0) {
    const std::string command = "cp --sparse=always " + other.path_ + " " + path_;
    if (std::system(command.c_str()) != 0) std::abort();
  }
  TestImage& operator=(const TestImage&) = delete;
  ~TestImage() { std::filesystem::remove(path_); }

  const std::string& path() const { return path_; }
  void flip(u64 offset, u8 bits) const {
    const int file = ::open(path_.c_str(), O_RDWR);
    u8 byte = 0;
    if (pread(file, &byte, 1, static_cast<off_t>(offset)) != 1) std::abort();
    byte ^= bits;
    if (pwrite(file, &byte, 1, static_cast<off_t>(offset)) != 1) std::abort();
    close(file);
  }
  void overwrite(u64 offset, ByteSpan bytes) const {
    const int file = ::open(path_.c_str(), O_RDWR);
    if (pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes.size()))
      std::abort();
    close(file);
  }
  std::vector<std::byte> read(u64 offset, u64 bytes) const {
    const int file = ::open(path_.c_str(), O_RDONLY);
    std::vector<std::byte> read(bytes);
    if (pread(file, read.data(), bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes)) std::abort();
    close(file);
    return read;
  }

 private:
  std::string path_;
};

inline Status format_image(const TestImage& image, u16 slices = 2) {
  FormatOptions options;
  options.devices = {image.path()};
  options.slices = slices;
  return format_devices(options);
}

inline Result<std::unique_ptr<Filesystem>> mount_image(const TestImage& image, bool read_only, unsigned cores = 2) {
  MountOptions options;
  options.devices = {image.path()};
  options.cache_bytes = 64 * mib;
  options.populate_cache = false;
  options.cpus.assign(cores, 0);
  options.pin = false;
  options.read_only = read_only;
  return Filesystem::mount(options);
}

inline std::string findings_text(const CheckReport& report) {
  std::string text;
  for (const Finding& finding : report.findings) {
    text += finding.name + " slice " + finding.slice + " tree " + finding.tree + " " + finding.where + " " +
            finding.path + ": " + finding.what + "\n";
  }
  return text;
}

inline void expect_clean(const TestImage& image) {
  const Result<CheckReport> report = check(image.path(), {});
  ASSERT_TRUE(report.ok()) << to_text(report.error());
  EXPECT_TRUE(report->clean()) << findings_text(*report);
}

}  // namespace cowfs::admin
