// A filesystem in an image file becomes smaller, the file is cut off, and the filesystem is filled until it is full.
#include <cerrno>

#include "engine/admin/device_change.h"
#include "engine/admin/test_image.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::admin {
namespace {

constexpr u64 image_bytes = 256 * mib;
constexpr u64 smaller_bytes = 168 * mib;
constexpr u64 shrink_file_bytes = 2 * mib;

void expect_ok(const Status& status) { EXPECT_OK(status); }

void fill(MutableByteSpan data, u64 number) {
  for (std::size_t at = 0; at < data.size(); at += block_bytes)
    data[at] = static_cast<std::byte>(number + at / block_bytes);
}

std::string name_of(u64 number) { return "/file" + std::to_string(number); }

Task<Status> write_file(Filesystem* filesystem, u64 number) {
  const Result<FileHandle> file = co_await filesystem->open(name_of(number), O_RDWR | O_CREAT, 0644);
  if (!file) co_return file.error();
  device::AlignedBuffer data(shrink_file_bytes);
  fill(data.span(), number);
  const Result<u64> written = co_await filesystem->write(*file, 0, data.span());
  const Status closed = co_await filesystem->close(*file);
  if (!written) co_return written.error();
  co_return *written == data.size() ? closed : Status{Error{Code::space_full}};
}

// More files behind the first `count`, until there are so many, or no space.
Task<void> write_files(Filesystem* filesystem, u64* count, u64 count_max) {
  Status done;
  for (; *count < count_max; ++*count) {
    done = co_await write_file(filesystem, *count);
    if (!done) break;
  }
  EXPECT_EQ(done ? ENOSPC : to_errno(done.error().code), ENOSPC);
  expect_ok(co_await filesystem->sync());
}

Task<void> remove_every_other(Filesystem* filesystem, u64 count) {
  for (u64 number = 1; number < count; number += 2) expect_ok(co_await filesystem->unlink(name_of(number)));
  expect_ok(co_await filesystem->sync());
}

Task<void> expect_files(Filesystem* filesystem, u64 first, u64 end, u64 step) {
  device::AlignedBuffer expected(shrink_file_bytes), read(shrink_file_bytes);
  for (u64 number = first; number < end; number += step) {
    const Result<FileHandle> file = co_await filesystem->open(name_of(number), O_RDONLY, 0);
    EXPECT_OK(file);
    if (!file) co_return;
    fill(expected.span(), number);
    const Result<u64> moved = co_await filesystem->read(*file, 0, read.span());
    EXPECT_OK(moved);
    EXPECT_EQ(std::memcmp(read.data(), expected.data(), read.size()), 0) << name_of(number);
    expect_ok(co_await filesystem->close(*file));
  }
}

TEST(Shrink, an_image_is_cut_off_and_filled_again) {
  const TestImage image(image_bytes);
  ASSERT_TRUE(format_image(image, 4).ok());
  u64 before = 0;
  {
    const auto filesystem = mount_image(image, false);
    ASSERT_TRUE(filesystem.ok()) << to_text(filesystem.error());
    (*filesystem)->run(0, [&] { return write_files(filesystem->get(), &before, 90); });
    (*filesystem)->run(0, [&] { return remove_every_other(filesystem->get(), before); });
    expect_ok((*filesystem)->unmount());
  }
  const DeviceChange too_small{.kind = DeviceChange::Kind::resize, .capacity_bytes = 100 * mib};
  const Status refused = change_devices(DeviceNames(image.path()), too_small, "", false, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::space_still_needed);
  const DeviceChange smaller{.kind = DeviceChange::Kind::resize, .capacity_bytes = smaller_bytes};
  u64 emptied = 0, to_empty = 0;
  const ChangeProgress progress{.emptied = [&](u64 done, u64 total) { emptied = done, to_empty = total; }};
  expect_ok(change_devices(DeviceNames(image.path()), smaller, "", false, progress));
  EXPECT_GT(emptied, 0u);
  EXPECT_EQ(emptied, to_empty);
  std::filesystem::resize_file(image.path(), smaller_bytes);
  expect_clean(image);
  {
    const auto filesystem = mount_image(image, false);
    ASSERT_TRUE(filesystem.ok()) << to_text(filesystem.error());
    (*filesystem)->run(0, [&] { return expect_files(filesystem->get(), 0, before, 2); });
    u64 end = before;
    (*filesystem)->run(0, [&] { return write_files(filesystem->get(), &end, ~0ull); });
    EXPECT_GT(end, before);
    (*filesystem)->run(0, [&] { return expect_files(filesystem->get(), 0, before, 2); });
    (*filesystem)->run(0, [&] { return expect_files(filesystem->get(), before, end, 1); });
    expect_ok((*filesystem)->unmount());
  }
  expect_clean(image);
}

// As before: who asked for nothing is not believed to have.
TEST(Shrink, an_image_that_was_cut_off_without_asking_is_refused) {
  const TestImage image(image_bytes);
  ASSERT_TRUE(format_image(image).ok());
  std::filesystem::resize_file(image.path(), smaller_bytes);
  const DeviceChange resize{.kind = DeviceChange::Kind::resize, .capacity_bytes = smaller_bytes};
  const Status done = change_devices(DeviceNames(image.path()), resize, "", false, {});
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, Code::device_truncated);
}

}  // namespace
}  // namespace cowfs::admin
