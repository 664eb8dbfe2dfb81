// For tests of filesystems that are full, or half so: files whose every block is known, and what users may fill.
#pragma once
#include <fcntl.h>

#include <cerrno>

#include "engine/device/aligned_buffer.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {

constexpr u64 filler_file_bytes = 1 * mib;

inline std::string directory_of(u64 index) { return "/d" + std::to_string(index); }

inline void fill_block(MutableByteSpan block, u64 file, u64 index, u64 version) {
  Random random(file * 1000003 + index * 101 + version);
  for (std::size_t at = 0; at < block.size(); at += 8) {
    const u64 word = random.next();
    std::memcpy(block.data() + at, &word, 8);
  }
}

// Files of whole blocks, and which version each block has.
class Filler {
 public:
  Filler() = default;
  explicit Filler(SimulatedFilesystem& filesystem) : filesystem_(&filesystem) {}
  void use(SimulatedFilesystem& filesystem) { filesystem_ = &filesystem; }

  std::vector<std::vector<u64>>& files() { return files_; }
  // Files go to directories in turn; one that another core makes is in another slice.
  void make_directories(u64 count) {
    for (directories_ = 0; directories_ < count; ++directories_) {
      const std::string path = directory_of(directories_);
      const auto core = static_cast<runtime::CoreIndex>(directories_ % filesystem_->core_count());
      const Status made = filesystem_->run(core, [this, &path] { return operations().mkdir(path, 0755); });
      ASSERT_TRUE(made.ok()) << to_text(made.error());
    }
  }
  u64 blocks() const {
    u64 sum = 0;
    for (const auto& file : files_) sum += file.size();
    return sum;
  }

  // So many new files.
  Task<void> fill_some(u64 count) {
    Status ended;
    co_await fill(&ended, 0, files_.size() + count);
    EXPECT_TRUE(ended.ok()) << to_text(ended.error());
  }

  // Writes new files until there is no space. Ends at the first error; what was accepted is remembered.
  Task<void> fill(Status* ended, int flags, u64 files_max = ~0ull) {
    while (files_.size() < files_max) {
      const std::string path = path_of(files_.size());
      const Result<FileHandle> handle = co_await operations().open(path, O_RDWR | O_CREAT | flags, 0644);
      if (!handle) {
        *ended = handle.error();
        co_return;
      }
      const u64 number = files_.size();
      files_.emplace_back();
      *ended = co_await fill_file(*handle, number);
      const Status synced = co_await operations().fsync(*handle);
      EXPECT_TRUE(synced.ok()) << to_text(synced.error());
      const Status closed = co_await operations().close(*handle);
      EXPECT_TRUE(closed.ok());
      if (!*ended) co_return;
    }
  }

  struct Overwriting {
    u64 seed = 1;
    bool direct = false;
    bool skewed = false;  // nine of ten blocks in a tenth of the files
    u64 sync_every = 1;
  };
  // Random single blocks anew, as many as there are, with fsync every so often.
  Task<void> overwrite(Overwriting load) {
    Random random(load.seed);
    const u64 count = blocks();
    std::vector<FileHandle> handles;
    for (u64 number = 0; number < files_.size(); ++number) {
      const std::string path = path_of(number);
      const Result<FileHandle> handle = co_await operations().open(path, O_RDWR | (load.direct ? O_DIRECT : 0), 0);
      EXPECT_TRUE(handle.ok());
      if (!handle) co_return;
      handles.push_back(*handle);
    }
    device::AlignedBuffer block(block_bytes);
    for (u64 i = 0; i < count && !testing::Test::HasFailure(); ++i) {
      const bool hot = load.skewed && !random.one_in(10);
      const u64 number = random.below(hot ? files_.size() / 10 + 1 : files_.size());
      if (files_[number].empty()) continue;
      const u64 index = random.below(files_[number].size());
      const u64 version = ++files_[number][index];
      fill_block(block.span(), number, index, version);
      const Result<u64> written = co_await operations().write(handles[number], index * block_bytes, block.span());
      EXPECT_TRUE(written.ok()) << "overwrite " << i << " of " << count << ": " << to_text(written.error());
      if (i % load.sync_every != 0) continue;
      const Status synced = co_await operations().fsync(handles[number]);
      EXPECT_TRUE(synced.ok()) << to_text(synced.error());
    }
    for (FileHandle handle : handles) {
      const Status closed = co_await operations().close(handle);
      EXPECT_TRUE(closed.ok());
    }
  }

  Task<void> check() {
    device::AlignedBuffer got(filler_file_bytes);
    device::AlignedBuffer expected(block_bytes);
    for (u64 number = 0; number < files_.size(); ++number) {
      const std::string path = path_of(number);
      const Result<FileHandle> handle = co_await operations().open(path, O_RDONLY, 0);
      EXPECT_TRUE(handle.ok()) << path;
      if (!handle) co_return;
      const Result<u64> read = co_await operations().read(*handle, 0, got.span());
      EXPECT_TRUE(read.ok()) << to_text(read.error());
      EXPECT_EQ(read.ok() ? *read : 0, files_[number].size() * block_bytes);
      for (u64 index = 0; read && index < files_[number].size(); ++index) {
        fill_block(expected.span(), number, index, files_[number][index]);
        const bool same = std::memcmp(expected.data(), got.data() + index * block_bytes, block_bytes) == 0;
        EXPECT_TRUE(same) << path << " block " << index << " version " << files_[number][index];
        if (!same) break;
      }
      const Status closed = co_await operations().close(*handle);
      EXPECT_TRUE(closed.ok());
    }
  }

  // They stay in the list, as files without content.
  Task<void> remove_every_other() {
    for (u64 number = 0; number < files_.size(); number += 2) {
      const std::string path = path_of(number);
      const Result<FileHandle> handle = co_await operations().open(path, O_RDWR, 0);
      EXPECT_TRUE(handle.ok());
      if (!handle) co_return;
      EXPECT_TRUE((co_await operations().truncate(*handle, 0)).ok());
      EXPECT_TRUE((co_await operations().close(*handle)).ok());
      files_[number].clear();
    }
  }

  Task<void> remove_last(u64 count, bool synced = true) {
    for (u64 i = 0; i < count && !files_.empty(); ++i) {
      const std::string path = path_of(files_.size() - 1);
      const Status removed = co_await operations().unlink(path);
      EXPECT_TRUE(removed.ok()) << to_text(removed.error());
      files_.pop_back();
    }
    if (!synced) co_return;
    const Status done = co_await operations().sync();
    EXPECT_TRUE(done.ok()) << to_text(done.error());
  }

  // Symlinks until there is no space, which are removed again.
  Task<void> fill_with_links() {
    u64 count = 0;
    const std::string target(1000, 'x');
    Status made;
    for (; made.ok(); ++count) {
      const std::string path = "/l" + std::to_string(count);
      made = co_await operations().symlink(target, path);
    }
    EXPECT_EQ(to_errno(made.error().code), ENOSPC) << to_text(made.error());
    for (u64 i = 0; i + 1 < count; ++i) {
      const std::string path = "/l" + std::to_string(i);
      const Status removed = co_await operations().unlink(path);
      EXPECT_TRUE(removed.ok()) << to_text(removed.error());
    }
  }

 private:
  fs::Operations& operations() { return filesystem_->operations(); }
  std::string path_of(u64 index) const {
    const std::string name = "/f" + std::to_string(index);
    return directories_ == 0 ? name : directory_of(index % directories_) + name;
  }

  Task<Status> fill_file(FileHandle handle, u64 number) {
    device::AlignedBuffer block(16 * block_bytes);
    for (u64 index = 0; index < filler_file_bytes / block_bytes; index += 16) {
      for (u64 i = 0; i < 16; ++i) {
        fill_block(block.span().subspan(i * block_bytes, block_bytes), number, index + i, 0);
      }
      const Result<u64> written = co_await operations().write(handle, index * block_bytes, block.span());
      if (!written) co_return written.error();
      files_[number].resize(index + *written / block_bytes);
      if (*written < block.span().size()) co_return Error{Code::space_full};
    }
    co_return Status{};
  }

  SimulatedFilesystem* filesystem_ = nullptr;
  u64 directories_ = 0;
  std::vector<std::vector<u64>> files_;
};

inline u64 usable_blocks(SimulatedFilesystem& filesystem) {
  fs::FilesystemState* state = &filesystem.state();
  const Result<SpaceUse> use = filesystem.run(0, [state] { return state->space_use(); });
  EXPECT_TRUE(use.ok());
  return use->blocks;
}

inline void fill(SimulatedFilesystem& filesystem, Filler& filler, int flags) {
  Status ended;
  filesystem.run(0, [&] { return filler.fill(&ended, flags); });
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(to_errno(ended.error().code), ENOSPC) << to_text(ended.error());
}

inline void check_files(SimulatedFilesystem& filesystem, Filler& filler) {
  const auto core = static_cast<runtime::CoreIndex>(filesystem.core_count() - 1);
  filesystem.run(core, [&] { return filler.check(); });
}

}  // namespace cowfs::sim
