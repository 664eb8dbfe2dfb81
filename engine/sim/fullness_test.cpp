// A filesystem that is full: everything accepted is kept, space comes back, and overwriting goes on for ever.
#include <fcntl.h>

#include <cerrno>

#include "engine/device/aligned_buffer.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

constexpr u64 file_bytes = 1 * mib;

std::string directory_of(u64 index) { return "/d" + std::to_string(index); }

void fill_block(MutableByteSpan block, u64 file, u64 index, u64 version) {
  Random random(file * 1000003 + index * 101 + version);
  for (std::size_t at = 0; at < block.size(); at += 8) {
    const u64 word = random.next();
    std::memcpy(block.data() + at, &word, 8);
  }
}

// Files of whole blocks, and which version each block has.
class Filler {
 public:
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

  // Writes new files until there is no space. Ends at the first error; what was accepted is remembered.
  Task<void> fill(Status* ended, int flags) {
    while (true) {
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
    device::AlignedBuffer got(file_bytes);
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

  Task<void> remove_last(u64 count) {
    for (u64 i = 0; i < count && !files_.empty(); ++i) {
      const std::string path = path_of(files_.size() - 1);
      const Status removed = co_await operations().unlink(path);
      EXPECT_TRUE(removed.ok()) << to_text(removed.error());
      files_.pop_back();
    }
    const Status synced = co_await operations().sync();
    EXPECT_TRUE(synced.ok()) << to_text(synced.error());
  }

 private:
  fs::Operations& operations() { return filesystem_->operations(); }
  std::string path_of(u64 index) const {
    const std::string name = "/f" + std::to_string(index);
    return directories_ == 0 ? name : directory_of(index % directories_) + name;
  }

  Task<Status> fill_file(FileHandle handle, u64 number) {
    device::AlignedBuffer block(16 * block_bytes);
    for (u64 index = 0; index < file_bytes / block_bytes; index += 16) {
      for (u64 i = 0; i < 16; ++i) {
        fill_block(block.span().subspan(i * block_bytes, block_bytes), number, index + i, 0);
      }
      const Result<u64> written = co_await operations().write(handle, index * block_bytes, block.span());
      if (!written) {
        // Some blocks of it may have been accepted, and the size tells.
        const Result<Attributes> attributes = co_await operations().stat(handle);
        EXPECT_TRUE(attributes.ok());
        files_[number].resize(attributes->size / block_bytes);
        co_return written.error();
      }
      files_[number].resize(index + 16);
    }
    co_return Status{};
  }

  SimulatedFilesystem* filesystem_;
  u64 directories_ = 0;
  std::vector<std::vector<u64>> files_;
};

u64 usable_blocks(SimulatedFilesystem& filesystem) {
  fs::FilesystemState* state = &filesystem.state();
  const Result<SpaceUse> use = filesystem.run(0, [state] { return state->space_use(); });
  EXPECT_TRUE(use.ok());
  return use->blocks;
}

void fill(SimulatedFilesystem& filesystem, Filler& filler, int flags) {
  Status ended;
  filesystem.run(0, [&] { return filler.fill(&ended, flags); });
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(to_errno(ended.error().code), ENOSPC) << to_text(ended.error());
}

void check(SimulatedFilesystem& filesystem, Filler& filler) {
  const auto core = static_cast<runtime::CoreIndex>(filesystem.core_count() - 1);
  filesystem.run(core, [&] { return filler.check(); });
}

TEST(Fullness, fills_up_keeps_everything_and_empties_again) {
  for (u64 seed : seeds(3)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Image image =
        make_filesystem({.slices = static_cast<u16>(1 << random.below(3)), .region_bytes = 64 * mib, .seed = seed});
    auto filesystem = std::make_unique<SimulatedFilesystem>(image, random_settings(random));
    ASSERT_TRUE(filesystem->mount().ok());
    const u64 usable = usable_blocks(*filesystem);
    Filler filler(*filesystem);
    for (int round = 0; round < 3 && !HasFailure(); ++round) {
      fill(*filesystem, filler, random.one_in(2) ? O_DIRECT : 0);
      EXPECT_GE(filler.blocks() * 100, usable * 97) << filler.blocks() << " of " << usable;
      check(*filesystem, filler);
      const Status closed = filesystem->close();
      EXPECT_TRUE(closed.ok()) << to_text(closed.error());
      image = filesystem->device().crash_image_all_lost();
      filesystem = std::make_unique<SimulatedFilesystem>(image, random_settings(random));
      ASSERT_TRUE(filesystem->mount().ok());
      filler.use(*filesystem);
      check(*filesystem, filler);
      const u64 remove = random.one_in(2) ? filler.files().size() : 1 + random.below(filler.files().size());
      filesystem->run(0, [&] { return filler.remove_last(remove); });
    }
    if (HasFailure()) return;
  }
}

// Metadata took buckets from its reserve and what it gave back went to users, until neither copygc nor a checkpoint found
// one; and a direct write whose extents were not in memory was refused as if it were new data. So overwriting a full device
// ended with ENOSPC, sooner the smaller the device.
TEST(Fullness, a_full_device_can_be_overwritten_for_ever) {
  for (u64 seed : seeds(12)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    FormatSettings format{.region_bytes = 64 * mib, .seed = seed};
    format.slices = static_cast<u16>(1 << seed % 3);
    if (random.one_in(2)) format.device_bytes = 64 * mib + random.below(10'000) * block_bytes;
    SimulatedFilesystem filesystem(make_filesystem(format), random_settings(random));
    ASSERT_TRUE(filesystem.mount().ok());
    Filler filler(filesystem);
    if (random.one_in(2)) filler.make_directories(format.slices);
    fill(filesystem, filler, 0);
    Filler::Overwriting load{.seed = seed, .direct = random.one_in(2), .skewed = random.one_in(2)};
    if (random.one_in(2)) load.sync_every = 32;
    for (int round = 0; round < 2 && !HasFailure(); ++round) {
      filesystem.run(0, [&] { return filler.overwrite(load); });
    }
    check(filesystem, filler);
    const Status closed = filesystem.close();
    EXPECT_TRUE(closed.ok()) << to_text(closed.error());
    if (HasFailure()) return;
  }
}

struct Cleaning {
  u64 buckets = 0;    // emptied by copygc
  u64 shortages = 0;  // of writers
};

Cleaning cleaning_of(SimulatedFilesystem& filesystem) {
  Cleaning cleaning;
  for (runtime::CoreIndex core = 0; core < filesystem.core_count(); ++core) {
    filesystem.state().core(core).each_slice([&](fs::SliceState& slice) {
      cleaning.buckets += slice.copygc.counters().buckets;
      cleaning.shortages += slice.data.supply.shortages();
    });
  }
  return cleaning;
}

// The background cleaner was never woken: every bucket was emptied while a writer waited for it.
TEST(Fullness, buckets_are_emptied_before_a_writer_has_to_wait) {
  for (u64 seed : seeds(4)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const FormatSettings format{.slices = static_cast<u16>(1 << seed % 2), .region_bytes = 64 * mib, .seed = seed};
    SimulatedFilesystem filesystem(make_filesystem(format), random_settings(random));
    ASSERT_TRUE(filesystem.mount().ok());
    Filler filler(filesystem);
    fill(filesystem, filler, 0);
    filesystem.run(0, [&] { return filler.remove_last(filler.files().size() / 3); });
    const Cleaning before = cleaning_of(filesystem);
    const Filler::Overwriting load{.seed = seed, .direct = random.one_in(2), .skewed = random.one_in(2)};
    for (int round = 0; round < 3 && !HasFailure(); ++round) {
      filesystem.run(0, [&] { return filler.overwrite(load); });
    }
    const Cleaning after = cleaning_of(filesystem);
    EXPECT_GT(after.buckets - before.buckets, 10u);
    EXPECT_EQ(after.shortages - before.shortages, 0u);
    check(filesystem, filler);
    const Status closed = filesystem.close();
    EXPECT_TRUE(closed.ok()) << to_text(closed.error());
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace cowfs::sim
