#include "engine/device/file_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "engine/device/aligned_buffer.h"
#include "engine/device/memory_device.h"
#include "engine/runtime/cores.h"

namespace cowfs::device {
namespace {

using runtime::Cores;
using runtime::Task;

class ImageFile {
 public:
  ImageFile(const std::string& folder, u64 size) : path_(folder + "/device_test_XXXXXX") {
    const int file = ::mkstemp(path_.data());
    EXPECT_GE(file, 0);
    EXPECT_EQ(::ftruncate(file, static_cast<off_t>(size)), 0);
    ::close(file);
  }
  ~ImageFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr u64 blocks = 64;

// Writes, flushes, discards and reads back; ends with how many answers were wrong.
Task<u64> exercise(Device& device) {
  u64 wrong = 0;
  AlignedBuffer out{2 * block_bytes};
  AlignedBuffer in{2 * block_bytes};
  for (u64 block = 0; block + 2 <= blocks; block += 2) {
    std::memset(out.data(), static_cast<int>(block + 1), out.size());
    const Status written = co_await device.write(block * block_bytes, out.span(), block % 4 == 0);
    wrong += !written.ok();
  }
  const Status flushed = co_await device.flush();
  const Status discarded = co_await device.discard(2 * block_bytes, 2 * block_bytes);
  wrong += !flushed.ok() + !discarded.ok();
  for (u64 block = 0; block + 2 <= blocks; block += 2) {
    const Status got = co_await device.read(block * block_bytes, in.span());
    const bool expected = in.data()[block_bytes] == static_cast<std::byte>(block + 1);
    wrong += !got.ok() || (block != 2 && !expected);
  }
  const Status outside = co_await device.read(blocks * block_bytes, in.span());
  wrong += outside.ok() || outside.error().code != Code::device_io_failed || outside.error().value != ENXIO;
  const Status over_the_end = co_await device.read((blocks - 1) * block_bytes, in.span());
  wrong += over_the_end.ok();
  co_return wrong;
}

void expect_works(Device& device) {
  EXPECT_EQ(device.capacity().value, blocks * block_bytes);
  auto cores = Cores::start({.cores = 1});
  ASSERT_TRUE(cores.ok());
  EXPECT_EQ((*cores)->run(0, [&] { return exercise(device); }), 0u);
  const DeviceCounts counts = device.counts();
  EXPECT_EQ(counts.writes, blocks / 2);
  EXPECT_EQ(counts.written_bytes, blocks * block_bytes);
  EXPECT_EQ(counts.read_bytes, blocks * block_bytes);
  EXPECT_EQ(counts.flushes, 1u);
  EXPECT_EQ(counts.discarded_bytes, 2 * block_bytes);
}

TEST(FileDevice, ReadsAndWritesOnADiskFilesystemAndInMemory) {
  for (const char* folder : {"/tmp", "/dev/shm"}) {
    SCOPED_TRACE(folder);
    const ImageFile file{folder, blocks * block_bytes + 100};  // a partial block at the end is not part of the device
    auto device = open_device(file.path(), OpenMode::read_write);
    ASSERT_TRUE(device.ok()) << to_text(device.error());
    EXPECT_EQ((*device)->describe(), file.path());
    EXPECT_TRUE((*device)->discards());
    expect_works(**device);
  }
}

TEST(MemoryDevice, ReadsAndWrites) {
  auto device = make_memory_device(Bytes{blocks * block_bytes});
  ASSERT_TRUE(device.ok());
  expect_works(**device);
}

TEST(FileDevice, OneOpenerAtATime) {
  const ImageFile file{"/tmp", blocks * block_bytes};
  {
    auto first = open_device(file.path(), OpenMode::read_write);
    ASSERT_TRUE(first.ok());
    for (const OpenMode mode : {OpenMode::read_write, OpenMode::read_only}) {
      auto second = open_device(file.path(), mode);
      ASSERT_FALSE(second.ok());
      EXPECT_EQ(second.error().code, Code::device_in_use);
    }
  }
  EXPECT_TRUE(open_device(file.path(), OpenMode::read_write).ok());
}

TEST(FileDevice, WhatCannotBeOpened) {
  struct Case {
    const char* path;
    Code expected;
    u64 value;
  };
  for (const Case& c :
       {Case{"/dev/null", Code::device_not_block_or_file, 0}, Case{"/tmp", Code::device_not_block_or_file, 0},
        Case{"/tmp/there/is/no/such/file", Code::device_open_failed, ENOENT}}) {
    SCOPED_TRACE(c.path);
    auto device = open_device(c.path, OpenMode::read_only);
    ASSERT_FALSE(device.ok());
    EXPECT_EQ(device.error().code, c.expected);
    EXPECT_EQ(device.error().value, c.value);
  }
}

Task<Status> write_one(Device& device, AlignedBuffer& buffer) { co_return co_await device.write(0, buffer.span()); }

TEST(FileDevice, ReadOnlyRefusesWrites) {
  const ImageFile file{"/tmp", blocks * block_bytes};
  auto device = open_device(file.path(), OpenMode::read_only);
  ASSERT_TRUE(device.ok());
  (*device)->set_index(7);
  auto cores = Cores::start({.cores = 1});
  ASSERT_TRUE(cores.ok());
  AlignedBuffer buffer{block_bytes};
  const Status written = (*cores)->run(0, [&] { return write_one(**device, buffer); });
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().value, static_cast<u64>(EROFS));
  EXPECT_EQ(written.error().place.device, 7u);
  EXPECT_EQ(written.error().place.offset_bytes, 0u);
}

// The file shrank behind our back.
Task<Status> read_last(Device& device, AlignedBuffer& buffer) {
  co_return co_await device.read((blocks - 1) * block_bytes, buffer.span());
}

TEST(FileDevice, AShortTransferIsAnError) {
  const ImageFile file{"/tmp", blocks * block_bytes};
  auto device = open_device(file.path(), OpenMode::read_write);
  ASSERT_TRUE(device.ok());
  ASSERT_EQ(::truncate(file.path().c_str(), block_bytes), 0);
  auto cores = Cores::start({.cores = 1});
  ASSERT_TRUE(cores.ok());
  AlignedBuffer buffer{block_bytes};
  const Status got = (*cores)->run(0, [&] { return read_last(**device, buffer); });
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, Code::device_short_io);
}

}  // namespace
}  // namespace cowfs::device
