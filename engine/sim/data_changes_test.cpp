// One change of a file's data is one transaction: extents, size and count of blocks, whatever way it was made.
#include <fcntl.h>
#include <linux/falloc.h>

#include "engine/device/aligned_buffer.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

// A file, and another one whose fsync makes history durable without touching the first.
struct TwoFiles {
  template <typename Function>
  auto run(Function function) {
    return filesystem.run(0, std::move(function));
  }
  explicit TwoFiles(u64 seed, u16 slices = 1, u64 region_bytes = 64 * mib, MountSettings settings = {})
      : filesystem(make_filesystem({.slices = slices, .region_bytes = region_bytes, .seed = seed}), settings) {
    EXPECT_TRUE(filesystem.mount().ok());
    direct = open("/file", O_DIRECT);
    buffered = open("/file", 0);
    other = open("/other", 0);
  }
  ~TwoFiles() {
    for (FileHandle handle : {direct, buffered, other}) {
      const Status closed = run([=, this] { return filesystem.operations().close(handle); });
      EXPECT_TRUE(closed.ok());
    }
  }

  FileHandle open(std::string_view path, int flags) {
    const Result<FileHandle> handle =
        run([=, this] { return filesystem.operations().open(path, O_RDWR | O_CREAT | flags, 0644); });
    EXPECT_TRUE(handle.ok());
    return *handle;
  }
  void write(FileHandle handle, u64 first_block, u64 blocks) {
    device::AlignedBuffer data(blocks * block_bytes);
    std::memset(data.data(), 1 + static_cast<int>(first_block % 250), data.size());
    const Result<u64> written =
        run([&] { return filesystem.operations().write(handle, first_block * block_bytes, data.span()); });
    EXPECT_TRUE(written.ok()) << to_text(written.error());
  }
  void sync(FileHandle handle) {
    const Status synced = run([=, this] { return filesystem.operations().fsync(handle); });
    EXPECT_TRUE(synced.ok()) << to_text(synced.error());
  }
  // What a power cut now leaves, once everything that is in the trees is durable.
  Image crash() {
    write(other, 0, 1);
    sync(other);
    return filesystem.device().crash_image_all_lost();
  }

  SimulatedFilesystem filesystem;
  FileHandle direct;
  FileHandle buffered;
  FileHandle other;
};

u64 size_in(const Image& image) {
  SimulatedFilesystem filesystem(image, {});
  EXPECT_TRUE(filesystem.mount().ok());
  const Result<Attributes> attributes = filesystem.run(0, [&] { return filesystem.operations().stat("/file", true); });
  EXPECT_TRUE(attributes.ok());
  return attributes ? attributes->size : 0;
}

std::byte first_byte_in(const Image& image, u64 block) {
  SimulatedFilesystem filesystem(image, {});
  EXPECT_TRUE(filesystem.mount().ok());
  fs::Operations& operations = filesystem.operations();
  const Result<FileHandle> file = filesystem.run(0, [&] { return operations.open("/file", O_RDONLY, 0); });
  std::byte byte{};
  const Result<u64> read = filesystem.run(0, [&] { return operations.read(*file, block * block_bytes, {&byte, 1}); });
  EXPECT_TRUE(read.ok());
  EXPECT_TRUE(filesystem.run(0, [&] { return operations.close(*file); }).ok());
  return byte;
}

// The epoch of the inode's newest record was all that an fsync waited for. Attributes that had been stored by themselves were such
// a record, and what the fsync then put into another slice was of a later epoch.
TEST(DataChanges, an_fsync_commits_what_it_puts_into_another_slice) {
  constexpr u64 region_blocks = 16;
  TwoFiles files(6, 2, region_blocks * block_bytes);
  files.write(files.buffered, region_blocks, 4);
  files.sync(files.buffered);
  files.write(files.buffered, region_blocks + 1, 1);
  EXPECT_TRUE(files.run([&] { return files.filesystem.operations().set_mode("/file", 0600); }).ok());
  files.write(files.other, 0, 1);
  files.sync(files.other);
  files.sync(files.buffered);
  EXPECT_EQ(first_byte_in(files.filesystem.device().crash_image_all_lost(), region_blocks + 1),
            std::byte{1 + region_blocks + 1});
}

// A write-back took the size, a write in another slice moved the end, and the attributes with the old size were all that
// counted as changed: a sync or an unmount left the new end out.
TEST(DataChanges, an_end_that_moved_beside_a_write_back_is_still_to_be_written) {
  TwoFiles files(5);
  fs::CoreState& core = files.filesystem.state().core(0);
  files.write(files.buffered, 0, 1);
  files.sync(files.buffered);
  files.write(files.buffered, 1, 1);
  const Result<Attributes> attributes = files.run([&] { return files.filesystem.operations().stat(files.buffered); });
  ASSERT_TRUE(attributes.ok());
  fs::Inode* inode = core.find_inode(attributes->inode);
  ASSERT_NE(inode, nullptr);
  ASSERT_LT(inode->persisted_size, inode->size);
  const Status written = files.run([&] { return core.write_attributes(*inode); });
  EXPECT_TRUE(written.ok());
  EXPECT_TRUE(inode->attributes_dirty);
}

Task<u64> begin_write(fs::Inode* inode, ByteSpan data) {
  const u64 taken = inode->file_data().try_write(0, data);
  inode->cached(taken);
  co_return taken;
}

// A small file is kept in its key, and what is dirty behind its end was left to a truncation. A write whose first bytes are in
// the cache while it waits for space had not moved the end yet: the flusher wrote nothing, at once and again, for ever.
TEST(DataChanges, what_a_write_under_way_put_into_an_empty_file_is_written_back) {
  TwoFiles files(4);
  fs::CoreState& core = files.filesystem.state().core(0);
  const Result<Attributes> attributes = files.run([&] { return files.filesystem.operations().stat(files.buffered); });
  ASSERT_TRUE(attributes.ok());
  fs::Inode* inode = core.find_inode(attributes->inode);
  ASSERT_NE(inode, nullptr);
  files.write(files.other, 0, 2);
  files.sync(files.other);  // the core has tokens now
  const std::vector<std::byte> data(3 * block_bytes / 2, std::byte{7});
  const u64 taken = files.run([&] { return begin_write(inode, data); });
  ASSERT_EQ(taken, data.size());
  const Result<Epoch> written = files.run([&] { return core.write_back(*inode); });
  EXPECT_TRUE(written.ok());
  EXPECT_FALSE(inode->file_data().is_dirty());
}

Task<void> write_much(fs::Operations* operations, FileHandle file) {
  const std::vector<std::byte> data(24 * mib, std::byte{7});
  const Result<u64> written = co_await operations->write(file, 0, data);
  EXPECT_TRUE(written.ok());
}

Task<void> write_beside_commits(fs::Operations* operations, FileHandle large, FileHandle other) {
  runtime::Gate gate;
  gate.spawn(write_much(operations, large));
  const std::vector<std::byte> data(block_bytes, std::byte{8});
  for (u64 i = 0; gate.running() > 0; ++i) {
    const Result<u64> written = co_await operations->write(other, i * block_bytes, data);
    const Status synced = co_await operations->fsync(other);
    EXPECT_TRUE(written.ok() && synced.ok());
  }
}

// What was written back of a write that waited for memory lay behind the end of the file until the write was through.
TEST(DataChanges, a_write_that_waits_moves_the_end_before_what_it_wrote) {
  for (const u16 slices : {1, 2}) {
    MountSettings settings;
    settings.cache_bytes = 2 * mib;
    TwoFiles files(7, slices, mib, settings);
    std::vector<Image> images;
    const auto gather = [&images](device::SimDevice& device) { images.push_back(device.image()); };
    files.filesystem.device().set_durability_observer(gather);
    files.run([&] { return write_beside_commits(&files.filesystem.operations(), files.buffered, files.other); });
    files.filesystem.device().set_durability_observer({});
    EXPECT_GT(images.size(), 2u);
    for (const Image& image : images) expect_sound(image);
  }
}

Task<Result<std::byte>> byte_after_cut_and_growth(fs::Operations* operations, FileHandle file, u64 at) {
  Status done = co_await operations->truncate(file, at - 100);
  if (done) done = co_await operations->truncate(file, at + 100);
  if (!done) co_return done.error();
  std::byte byte{};
  const Result<u64> read = co_await operations->read(file, at, {&byte, 1});
  if (!read) co_return read.error();
  co_return byte;
}

TEST(DataChanges, what_was_behind_an_end_is_zeros_when_the_file_grows) {
  TwoFiles files(3);
  files.write(files.buffered, 0, 4);
  files.sync(files.buffered);
  constexpr u64 at = 2 * block_bytes + 1000;
  const auto byte = files.run([&] { return byte_after_cut_and_growth(&files.filesystem.operations(), files.buffered, at); });
  ASSERT_TRUE(byte.ok()) << to_text(byte.error());
  EXPECT_EQ(*byte, std::byte{0});
}

// The end had not come to the medium with what lay in another slice, and nobody looked there when the file was removed: blocks
// without a file.
TEST(DataChanges, a_file_that_is_removed_after_a_crash_takes_along_what_another_slice_has_behind_its_end) {
  TwoFiles files(9, 2, mib);
  files.write(files.buffered, 0, 1);
  files.sync(files.buffered);
  files.write(files.buffered, mib / block_bytes, 4);
  const Result<Attributes> attributes = files.run([&] { return files.filesystem.operations().stat(files.buffered); });
  ASSERT_TRUE(attributes.ok());
  fs::FilesystemState& state = files.filesystem.state();
  const u16 other_slice = state.slice_of_region(attributes->inode, 1);
  const runtime::CoreIndex there = state.core_of_slice(other_slice);
  const auto write_back = [&] { return state.core(there).write_back_share(attributes->inode, other_slice); };
  EXPECT_TRUE(files.filesystem.run(there, write_back).ok());

  SimulatedFilesystem after(files.crash(), {});
  ASSERT_TRUE(after.mount().ok());
  EXPECT_TRUE(after.run(0, [&after] { return after.operations().unlink("/file"); }).ok());
  EXPECT_TRUE(after.close().ok());
  EXPECT_TRUE(none(findings_after_unmount(after.crash_images_all_lost())));
}

// The size followed in a later transaction, or with the next fsync only: what a crash in between left behind the end of the
// file was reported by check, and lost.
TEST(DataChanges, a_direct_write_moves_the_end_of_the_file_with_its_extents) {
  TwoFiles files(1);
  u64 blocks = 0;
  for (u64 more : {1, 3, 64, 200}) {
    files.write(files.direct, blocks, more);
    blocks += more;
    const Image image = files.crash();
    expect_sound(image);
    EXPECT_EQ(size_in(image), blocks * block_bytes);
  }
}

TEST(DataChanges, what_is_dirty_before_a_direct_write_is_there_when_the_size_is) {
  TwoFiles files(2);
  files.write(files.buffered, 0, 5);
  files.write(files.direct, 5, 2);
  const Image image = files.crash();
  expect_sound(image);
  EXPECT_EQ(size_in(image), 7 * block_bytes);
}

// The count in memory took the change after the record was made, so each record had the count before the newest change.
TEST(DataChanges, blocks_are_counted_in_the_same_transaction) {
  TwoFiles files(3);
  const auto expect_crash_sound = [&](const char* what) {
    SCOPED_TRACE(what);
    expect_sound(files.crash());
  };
  files.write(files.buffered, 0, 40);
  files.sync(files.buffered);
  expect_crash_sound("first write-back");
  files.write(files.buffered, 20, 40);
  files.sync(files.buffered);
  expect_crash_sound("a write-back that replaces and adds");
  files.write(files.direct, 50, 30);
  expect_crash_sound("a direct write");
  const Status punched = files.run([&] {
    return files.filesystem.operations().allocate(files.buffered, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                                  10 * block_bytes, 5 * block_bytes);
  });
  EXPECT_TRUE(punched.ok());
  expect_crash_sound("a hole");
  const Status cut = files.run([&] { return files.filesystem.operations().truncate(files.buffered, 33 * block_bytes + 7); });
  EXPECT_TRUE(cut.ok());
  expect_crash_sound("a truncation");
  files.sync(files.buffered);
  expect_crash_sound("its last block");
}

// Make one file after the other dirty for as long as sync is under way.
struct Writers {
  static constexpr u64 writes_max = 500;
  SimulatedFilesystem& filesystem;
  bool synced = false;
  u64 writes = 0;

  Task<void> keep_writing(FileHandle first, FileHandle second) {
    const std::vector<std::byte> data(block_bytes);
    while (!synced && writes < writes_max) {
      const FileHandle handle = writes % 2 == 0 ? first : second;
      const u64 offset = writes % 64 * block_bytes;
      const Result<u64> written = co_await filesystem.operations().write(handle, offset, data);
      EXPECT_TRUE(written.ok());
      ++writes;
      // Takes its time, and writes nothing back.
      journal::Stream& stream = filesystem.state().here().stream();
      const Status committed = co_await stream.commit(stream.current());
      EXPECT_TRUE(committed.ok());
    }
  }
  Task<void> sync() {
    const Status done = co_await filesystem.operations().sync();
    EXPECT_TRUE(done.ok());
    synced = true;
  }
  Task<void> run(FileHandle first, FileHandle second) {
    runtime::Gate gate;
    gate.spawn(keep_writing(first, second));
    gate.spawn(sync());
    co_await gate.drained();
  }
};

// A direct write of blocks that are on their way from the cache to the device.
struct Overtaking {
  SimulatedFilesystem& filesystem;

  Task<void> write_back() {
    const Status written = co_await filesystem.state().core(0).write_back_all();
    EXPECT_TRUE(written.ok());
  }
  Task<void> run(FileHandle buffered, FileHandle direct, ByteSpan older, ByteSpan newer) {
    const Result<u64> first = co_await filesystem.operations().write(buffered, 0, older);
    EXPECT_TRUE(first.ok());
    runtime::Gate gate;
    gate.spawn(write_back());
    const Result<u64> second = co_await filesystem.operations().write(direct, 0, newer);
    EXPECT_TRUE(second.ok());
    co_await gate.drained();
  }
};

// What was being written back is not dirty any more, so the direct write did not wait for it; its keys went in first, and the
// older data's on top.
TEST(DataChanges, a_direct_write_is_newer_than_what_is_being_written_back) {
  TwoFiles files(5);
  files.write(files.buffered, 0, 8);
  files.sync(files.buffered);
  device::AlignedBuffer older(2 * block_bytes), newer(2 * block_bytes), read(2 * block_bytes);
  std::memset(older.data(), 'o', older.size());
  std::memset(newer.data(), 'n', newer.size());
  Overtaking overtaking{files.filesystem};
  files.run([&] { return overtaking.run(files.buffered, files.direct, older.span(), newer.span()); });
  SimulatedFilesystem after(files.crash(), {});
  ASSERT_TRUE(after.mount().ok());
  const Result<FileHandle> handle = after.run(0, [&] { return after.operations().open("/file", O_RDONLY, 0); });
  ASSERT_TRUE(handle.ok());
  const Result<u64> bytes = after.run(0, [&] { return after.operations().read(*handle, 0, read.span()); });
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(std::memcmp(read.data(), newer.data(), read.size()), 0);
  EXPECT_TRUE(after.run(0, [&] { return after.operations().close(*handle); }).ok());
}

// All memory of the page cache holds dirty blocks of one file: the last of each of its first 16 windows.
struct FullCache : TwoFiles {
  static constexpr u64 windows = 16;
  explicit FullCache(u64 seed) : TwoFiles(seed, 1, 64 * mib, {.cores = 1, .cache_bytes = windows * data::window_bytes, .steps_max = 3'000'000}) {
    for (u64 window = 0; window < 2 * windows; ++window) write(direct, window * data::window_blocks, data::window_blocks);
    sync(direct);
    for (u64 window = 0; window < windows; ++window) write(buffered, (window + 1) * data::window_blocks - 1, 1);
  }
  Task<void> truncate(u64 bytes) {
    const Status done = co_await filesystem.operations().truncate(buffered, bytes);
    EXPECT_TRUE(done.ok()) << to_text(done.error());
  }
  Task<void> read() {
    std::byte byte{};
    const Result<u64> done = co_await filesystem.operations().read(buffered, 18 * data::window_bytes, {&byte, 1});
    EXPECT_TRUE(done.ok()) << to_text(done.error());
  }
  Task<void> read_beside_truncate(u64 bytes) {
    runtime::Gate gate;
    gate.spawn(read());
    gate.spawn(truncate(bytes));
    co_await gate.drained();
  }
};

// A truncation waited for memory to put the zeros behind its end into, and held what the write-back of its own file needed, the only one
// that had memory to give back: for ever (found by seed 20261129203208).
TEST(DataChanges, a_truncation_waits_for_no_memory) {
  constexpr u64 bytes = 20 * data::window_bytes + 100;
  FullCache file(8);
  file.run([&] { return file.truncate(bytes); });
  EXPECT_EQ(size_in(file.crash()), bytes);
}

// So did a reader that waited for memory while a truncation waited for it.
TEST(DataChanges, who_waits_for_memory_holds_no_truncation_up) {
  constexpr u64 bytes = 20 * data::window_bytes;
  FullCache file(9);
  file.run([&] { return file.read_beside_truncate(bytes); });
  EXPECT_EQ(size_in(file.crash()), bytes);
}

// What truncations put beyond the budget is written back in time, and goes.
TEST(DataChanges, truncations_pass_the_budget_by_little) {
  constexpr int files = 100;
  FullCache full(10);
  fs::Operations& operations = full.filesystem.operations();
  const data::PageCache& cache = full.filesystem.state().core(0).data().cache;
  std::vector<FileHandle> handles;
  for (int i = 0; i < files; ++i) {
    handles.push_back(full.open("/file" + std::to_string(i), O_DIRECT));
    full.write(handles.back(), 0, data::window_blocks);
  }
  u64 used_max = 0;
  for (const FileHandle handle : handles) {
    const Status cut = full.run([&] { return operations.truncate(handle, data::window_bytes - 100); });
    EXPECT_TRUE(cut.ok()) << to_text(cut.error());
    used_max = std::max(used_max, cache.used().value);
  }
  EXPECT_GT(used_max, cache.budget().value);
  EXPECT_LE(used_max, cache.budget().value + 65 * data::window_bytes);
  for (const FileHandle handle : handles) {
    const Status closed = full.run([&] { return operations.close(handle); });
    EXPECT_TRUE(closed.ok());
  }
}

// sync went on as long as any file was dirty, so two writers could keep it busy for ever.
TEST(DataChanges, sync_ends_while_others_keep_writing) {
  TwoFiles files(4);
  files.write(files.buffered, 0, 1);
  files.write(files.other, 0, 1);
  Writers writers{files.filesystem};
  files.run([&] { return writers.run(files.buffered, files.other); });
  EXPECT_LT(writers.writes, Writers::writes_max);
}

}  // namespace
}  // namespace cowfs::sim
