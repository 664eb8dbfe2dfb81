// How a bucket is emptied: by few requests, and whatever lies between what lives.
#include <fcntl.h>

#include "engine/device/aligned_buffer.h"
#include "engine/sim/seeds_test_internal.h"
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {
namespace {

// A file of extents of one block each, which fill some buckets. Of every eight blocks one is written anew, elsewhere.
class SparseBuckets {
 public:
  static constexpr u64 blocks = 1024;

  template <typename Function>
  auto run(Function function) {
    return filesystem_.run(0, std::move(function));
  }
  explicit SparseBuckets(u64 seed)
      : filesystem_(make_filesystem({.device_bytes = 256 * mib, .slices = 1, .seed = seed}), {.seed = seed, .cores = 1}) {
    EXPECT_TRUE(filesystem_.mount().ok());
    const Result<FileHandle> opened =
        run([&] { return filesystem_.operations().open("/file", O_RDWR | O_CREAT | O_DIRECT, 0644); });
    EXPECT_TRUE(opened.ok());
    file_ = *opened;
    run([this] { return write_backwards(1); });
    for (u64 i = 0; i < blocks; i += dead_one_in) dead_.push_back(address_of(i));
    run([this] { return write_backwards(dead_one_in); });
    EXPECT_TRUE(run([this] { return filesystem_.operations().fsync(file_); }).ok());
  }
  ~SparseBuckets() {
    EXPECT_TRUE(run([this] { return filesystem_.operations().close(file_); }).ok());
    EXPECT_TRUE(filesystem_.close().ok());
  }

  device::SimDevice& device() { return filesystem_.device(); }
  const std::vector<format::Address>& dead() const { return dead_; }
  const data::CopyGcCounters& counters() { return slice().copygc.counters(); }
  Result<bool> clean_one() {
    return run([this] { return slice().copygc.clean_one(data::Need::now); });
  }
  void expect_content() {
    device::AlignedBuffer block(block_bytes);
    for (u64 i = 0; i < blocks; ++i) {
      const Result<u64> read = run([&] { return filesystem_.operations().read(file_, i * block_bytes, block.span()); });
      ASSERT_TRUE(read.ok()) << to_text(read.error());
      ASSERT_EQ(block.data()[0], std::byte(i % 251)) << i;
    }
  }

 private:
  static constexpr u64 dead_one_in = 8;

  fs::SliceState& slice() { return filesystem_.state().core(0).slice(0); }
  format::Address address_of(u64 block) {
    const Result<Attributes> attributes = run([&] { return filesystem_.operations().stat("/file", true); });
    EXPECT_TRUE(attributes.ok());
    const format::Key key{attributes->inode, block, format::snapshot_live};
    const auto found = run([&] { return slice().slice.get(format::TreeId::extents, key); });
    EXPECT_TRUE(found.ok() && *found);
    return format::decode_extent(**found).address;
  }
  Task<void> write_backwards(u64 one_in) {
    device::AlignedBuffer data(block_bytes);
    for (u64 i = blocks; i-- > 0;) {
      if (i % one_in != 0) continue;
      std::memset(data.data(), static_cast<int>(i % 251), data.size());
      const Result<u64> written = co_await filesystem_.operations().write(file_, i * block_bytes, data.span());
      EXPECT_TRUE(written.ok());
    }
  }

  SimulatedFilesystem filesystem_;
  FileHandle file_;
  std::vector<format::Address> dead_;
};

// Each extent was a request of its own, one after the other.
TEST(CopyGc, what_lives_in_a_bucket_is_read_in_few_requests) {
  SparseBuckets buckets(1);
  const u64 reads_before = buckets.device().counts().reads;
  const Result<bool> cleaned = buckets.clean_one();
  ASSERT_TRUE(cleaned.ok() && *cleaned);
  const u64 reads = buckets.device().counts().reads - reads_before;
  const u64 moved = buckets.counters().moved_blocks;
  EXPECT_GE(moved, 50u);
  EXPECT_GE(reads, 1u);
  EXPECT_LE(reads, moved / 16);
  buckets.expect_content();
}

TEST(CopyGc, a_dead_block_that_cannot_be_read_keeps_no_live_one_from_being_moved) {
  SparseBuckets buckets(2);
  for (const format::Address dead : buckets.dead()) buckets.device().make_unreadable(dead.offset_bytes(), block_bytes);
  for (int i = 0; i < 4; ++i) {
    const u64 moved_before = buckets.counters().moved_blocks;
    const Result<bool> cleaned = buckets.clean_one();
    ASSERT_TRUE(cleaned.ok() && *cleaned);
    EXPECT_GE(buckets.counters().moved_blocks - moved_before, 50u);
  }
  buckets.expect_content();
}

}  // namespace
}  // namespace cowfs::sim
