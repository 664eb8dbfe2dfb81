// The library interface on an image file: real cores, real device, real mounts.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "engine/admin/change_options.h"
#include "engine/base/random.h"
#include "engine/engine.h"

namespace cowfs {
namespace {

class MountedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/var/tmp/cowfs_mounted_XXXXXX";
    const int file = mkstemp(path);
    ASSERT_GE(file, 0);
    ASSERT_EQ(ftruncate(file, 512 * static_cast<long>(mib)), 0);
    close(file);
    image_ = path;
    FormatOptions options;
    options.devices = {image_};
    const Status made = format_devices(options);
    ASSERT_TRUE(made.ok()) << to_text(made.error());
    mount();
  }
  void TearDown() override {
    filesystem_.reset();
    std::remove(image_.c_str());
  }
  void mount(unsigned cores = 2) {
    MountOptions options;
    options.devices = {image_};
    options.cache_bytes = 64 * mib;
    options.cpus.assign(cores, 0);
    options.pin = false;
    auto mounted = Filesystem::mount(options);
    ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
    filesystem_ = std::move(*mounted);
  }
  void remount(unsigned cores) {
    const Status closed = filesystem_->unmount();
    ASSERT_TRUE(closed.ok()) << to_text(closed.error());
    filesystem_.reset();
    mount(cores);
  }
  // Runs a test body on a core.
  template <typename Body>
  void on_core(unsigned core, Body body) {
    Filesystem* filesystem = filesystem_.get();
    filesystem_->run(core, [filesystem, body] { return body(filesystem); });
  }

  std::string image_;
  std::unique_ptr<Filesystem> filesystem_;
};

#define EXPECT_OK(result) EXPECT_TRUE((result).ok()) << to_text((result).error())

std::vector<std::byte> pattern(u64 seed, std::size_t bytes) {
  Random random(seed);
  std::vector<std::byte> data(bytes);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random.next());
  return data;
}

Task<void> write_file(Filesystem* filesystem, std::string path, u64 seed, std::size_t bytes, bool sync) {
  const Result<FileHandle> file = co_await filesystem->open(path, O_RDWR | O_CREAT, 0644);
  EXPECT_OK(file);
  if (!file) co_return;
  const std::vector<std::byte> data = pattern(seed, bytes);
  const Result<u64> written = co_await filesystem->write(*file, 0, data);
  EXPECT_OK(written);
  if (sync) {
    const Status synced = co_await filesystem->fsync(*file);
    EXPECT_OK(synced);
  }
  const Status closed = co_await filesystem->close(*file);
  EXPECT_OK(closed);
}

Task<void> check_file(Filesystem* filesystem, std::string path, u64 seed, std::size_t bytes) {
  const Result<FileHandle> file = co_await filesystem->open(path, O_RDONLY, 0);
  EXPECT_OK(file);
  if (!file) co_return;
  std::vector<std::byte> data(bytes + 10);
  const Result<u64> read = co_await filesystem->read(*file, 0, data);
  EXPECT_OK(read);
  EXPECT_EQ(read.ok() ? *read : 0, bytes) << path;
  data.resize(bytes);
  EXPECT_TRUE(data == pattern(seed, bytes)) << path;
  const Status closed = co_await filesystem->close(*file);
  EXPECT_OK(closed);
}

Task<void> write_many(Filesystem* filesystem) {
  const Status made = co_await filesystem->mkdir("/dir", 0755);
  EXPECT_OK(made);
  for (u64 i = 0; i < 50; ++i) co_await write_file(filesystem, "/dir/file" + std::to_string(i), i, i * 7001, i % 2 == 0);
}

Task<void> check_many(Filesystem* filesystem) {
  for (u64 i = 0; i < 50; ++i) co_await check_file(filesystem, "/dir/file" + std::to_string(i), i, i * 7001);
}

TEST_F(MountedTest, files_are_the_same_after_remounts_with_other_core_counts) {
  on_core(0, write_many);
  on_core(1, check_many);
  for (unsigned cores : {1u, 3u, 2u}) {
    remount(cores);
    on_core(cores - 1, check_many);
  }
}

Task<void> big_file(Filesystem* filesystem) {
  co_await write_file(filesystem, "/big", 99, 150 * mib, true);
}
Task<void> check_big_file(Filesystem* filesystem) { co_await check_file(filesystem, "/big", 99, 150 * mib); }

TEST_F(MountedTest, a_file_of_several_regions_and_larger_than_the_cache) {
  on_core(0, big_file);
  on_core(1, check_big_file);
  remount(1);
  on_core(0, check_big_file);
}

Task<void> names(Filesystem* filesystem) {
  Status done = co_await filesystem->mkdir("/a", 0755);
  EXPECT_OK(done);
  done = co_await filesystem->mkdir("/a/b", 0755);
  EXPECT_OK(done);
  co_await write_file(filesystem, "/a/b/x", 1, 100, false);
  done = co_await filesystem->rename("/a/b/x", "/a/y", 0);
  EXPECT_OK(done);
  done = co_await filesystem->rmdir("/a");
  EXPECT_EQ(to_errno(done.error().code), ENOTEMPTY);
  done = co_await filesystem->link("/a/y", "/a/b/z");
  EXPECT_OK(done);
  done = co_await filesystem->symlink("../y", "/a/b/s");
  EXPECT_OK(done);
  co_await check_file(filesystem, "/a/b/s", 1, 100);
  const Result<Attributes> attributes = co_await filesystem->stat("/a/b/s", true);
  EXPECT_OK(attributes);
  EXPECT_EQ(attributes->links, 2u);
  done = co_await filesystem->unlink("/a/y");
  EXPECT_OK(done);
  co_await check_file(filesystem, "/a/b/z", 1, 100);
  done = co_await filesystem->rename("/a", "/a/b/c", 0);
  EXPECT_EQ(to_errno(done.error().code), EINVAL);
  const Result<Attributes> missing = co_await filesystem->stat("/a/nothing", true);
  EXPECT_EQ(to_errno(missing.error().code), ENOENT);
}

TEST_F(MountedTest, names_on_one_core) { on_core(0, names); }
TEST_F(MountedTest, names_from_a_core_that_does_not_own_the_root) { on_core(1, names); }

Task<void> make_million(Filesystem* filesystem, u64 count) {
  const Status made = co_await filesystem->mkdir("/many", 0755);
  EXPECT_OK(made);
  for (u64 i = 0; i < count; ++i) {
    const std::string path = "/many/entry" + std::to_string(i);
    const Result<FileHandle> file = co_await filesystem->open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    EXPECT_OK(file);
    if (!file) co_return;
    const Status closed = co_await filesystem->close(*file);
    EXPECT_OK(closed);
  }
}

Task<void> list_many(Filesystem* filesystem, u64 count) {
  const Result<FileHandle> directory = co_await filesystem->open("/many", O_RDONLY | O_DIRECTORY, 0);
  EXPECT_OK(directory);
  if (!directory) co_return;
  std::set<std::string> seen;
  std::vector<std::byte> buffer(32 * kib);
  u64 cookie = 0;
  while (true) {
    const Result<DirectoryRead> read = co_await filesystem->read_directory(*directory, cookie, buffer);
    EXPECT_OK(read);
    if (!read || read->bytes == 0) break;
    for (u64 at = 0; at < read->bytes;) {
      u16 bytes;
      std::memcpy(&bytes, buffer.data() + at + 16, 2);
      seen.insert(reinterpret_cast<const char*>(buffer.data() + at + 19));
      at += bytes;
    }
    cookie = read->next_cookie;
  }
  EXPECT_EQ(seen.size(), count + 2);
  const Status closed = co_await filesystem->close(*directory);
  EXPECT_OK(closed);
}

TEST_F(MountedTest, a_large_directory_lists_every_entry_once) {
  constexpr u64 count = 100000;
  Filesystem* filesystem = filesystem_.get();
  filesystem_->run(0, [filesystem] { return make_million(filesystem, count); });
  filesystem_->run(1, [filesystem] { return list_many(filesystem, count); });
  remount(2);
  filesystem = filesystem_.get();
  filesystem_->run(0, [filesystem] { return list_many(filesystem, count); });
}

// Old extents keep their kind, and are read and checked by it.
TEST_F(MountedTest, kinds_of_checksums_change_for_new_data) {
  const auto path = [](ChecksumKind kind) { return "/" + std::string(name(kind)); };
  for (const ChecksumKind kind : checksum_kinds) {
    SCOPED_TRACE(name(kind));
    const Status closed = filesystem_->unmount();
    ASSERT_TRUE(closed.ok()) << to_text(closed.error());
    filesystem_.reset();
    EXPECT_OK(admin::set_options(image_, {.data_checksum = kind, .metadata_checksum = ChecksumKind::crc64}));
    mount();
    EXPECT_EQ(filesystem_->integrity_label(),
              (kind == ChecksumKind::none ? "no data checksums" : std::string(name(kind)) + " per 4 KiB") +
                  ", metadata crc64, fsync=flush");
    on_core(0, [path, kind](Filesystem* filesystem) { return write_file(filesystem, path(kind), 7, 300'000, true); });
    EXPECT_EQ(admin::set_options(image_, {kind, kind}).error().code, Code::device_in_use);
  }
  EXPECT_OK(filesystem_->unmount());
  filesystem_.reset();

  std::map<std::string, u64> extents;
  const auto listed = admin::list(image_, {.slice = {}, .tree = "extents"}, [&](const admin::Listed& one) {
    for (const ChecksumKind kind : checksum_kinds)
      if (one.text.ends_with(" " + std::string(name(kind)))) ++extents[std::string(name(kind))];
  });
  ASSERT_TRUE(listed.ok());
  for (const char* kind : {"crc32c", "crc64", "xxh3"}) EXPECT_GT(extents[kind], 0u) << kind;
  const auto report = admin::check(image_, {});
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->clean());
  EXPECT_EQ(admin::set_options(image_, {{}, ChecksumKind::none}).error().code,
            Code::superblock_checksum_kind_invalid);
  mount();
  for (const ChecksumKind kind : checksum_kinds)
    on_core(1, [path, kind](Filesystem* filesystem) { return check_file(filesystem, path(kind), 7, 300'000); });
}

}  // namespace
}  // namespace cowfs
