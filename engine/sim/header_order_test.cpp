// What a checkpoint lets go of, others may write over at once: by then its header has to be on the medium.
#include <fcntl.h>

#include "engine/base/points.h"
#include "engine/sim/seeds_test_internal.h"
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {
namespace {

constexpr int files = 3000;

// Looks at the device whenever a checkpoint frees a bucket of the one before.
class FreedBuckets final : PointObserver {
 public:
  FreedBuckets(PointRecord& points, SimulatedFilesystem& filesystem) : points_(points), filesystem_(filesystem) {
    points_.set_observer(this);
  }
  ~FreedBuckets() { points_.set_observer(nullptr); }

  u64 count() const { return count_; }
  u64 early_count() const { return early_; }  // of them: when the header could still be lost

 private:
  void fired(Point point) override {
    if (point != Point::metadata_bucket_freed) return;
    ++count_;
    const slice::Slice& slice = filesystem_.state().core(0).slice(0).slice;
    const u64 place = slice.header_offset_bytes(slice.header().sequence);
    std::vector<std::byte> now(block_bytes), after_a_power_cut(block_bytes);
    filesystem_.device().image().read(place, now);
    filesystem_.device().crash_image_all_lost().read(place, after_a_power_cut);
    if (now != after_a_power_cut) ++early_;
  }

  PointRecord& points_;
  SimulatedFilesystem& filesystem_;
  u64 count_ = 0;
  u64 early_ = 0;
};

Task<Status> make_and_remove(SimulatedFilesystem* filesystem) {
  fs::Operations& operations = filesystem->operations();
  slice::Slice& slice = filesystem->state().core(0).slice(0).slice;
  for (int file = 0; file < files; ++file) {
    const Result<FileHandle> handle = co_await operations.open("/" + std::to_string(file), O_RDWR | O_CREAT, 0644);
    if (!handle) co_return handle.error();
    const Status closed = co_await operations.close(*handle);
    if (!closed) co_return closed;
  }
  Status done = co_await slice.checkpoint();
  for (int file = 0; done && file < files; ++file) done = co_await operations.unlink("/" + std::to_string(file));
  for (int i = 0; done && i < 3; ++i) done = co_await slice.checkpoint();
  co_return done;
}

TEST(HeaderOrder, a_header_is_durable_before_what_it_replaces_may_be_written_over) {
  PointRecord points(1);
  u64 count = 0;
  for (const bool single_flush : {false, true}) {
    for (const bool write_through : {false, true}) {
      MountSettings settings{.cores = 1};
      settings.device.write_through = write_through;
      SimulatedFilesystem filesystem(make_filesystem({.slices = 1, .single_flush = single_flush}), settings);
      ASSERT_TRUE(filesystem.mount().ok());
      const FreedBuckets freed(points, filesystem);
      const Status done = filesystem.run(0, [&filesystem] { return make_and_remove(&filesystem); });
      ASSERT_TRUE(done.ok()) << to_text(done.error());
      EXPECT_EQ(freed.early_count(), 0u);
      count += freed.count();
      filesystem.abandon();
    }
  }
  EXPECT_GE(count, 4u);
}

}  // namespace
}  // namespace cowfs::sim
