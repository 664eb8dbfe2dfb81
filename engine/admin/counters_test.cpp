// What is counted, and what of it is still there after a mount, a crash, and on a filesystem of an older version.
#include "engine/admin/image_test_internal.h"
#include "engine/format/superblock.h"

namespace cowfs::admin {
namespace {

const Totals* find(const std::vector<Activity>& activities, const std::string& name) {
  for (const Activity& activity : activities) {
    if (activity.name == name) return &activity.totals;
  }
  return nullptr;
}

u64 count_of(const std::vector<Activity>& activities, const std::string& name) {
  const Totals* totals = find(activities, name);
  return totals == nullptr ? 0 : totals->count;
}

Task<void> write_files(Filesystem* filesystem, u64 files) {
  Model model;
  for (u64 i = 0; i < files; ++i) {
    const std::string path = "/file" + std::to_string(i);
    const Piece piece{0, 1000, i};
    co_await write_piece(filesystem, &model, path, piece, i % 10 == 0);
  }
}

void run_load(Filesystem& filesystem, u64 files) {
  filesystem.run(0, [&filesystem, files] { return write_files(&filesystem, files); });
}

class CountersTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(format_image(image_, 1).ok()); }
  std::unique_ptr<Filesystem> mount() {
    auto mounted = mount_image(image_, false, 1);
    EXPECT_OK(mounted);
    return mounted ? std::move(*mounted) : nullptr;
  }
  CountersShown shown() {
    const Result<CountersShown> counters = admin::counters(image_.path());
    EXPECT_OK(counters);
    return counters ? *counters : CountersShown{};
  }

  TestImage image_{256 * mib};
};

TEST_F(CountersTest, what_was_done_is_counted_and_survives_a_mount) {
  auto filesystem = mount();
  run_load(*filesystem, 100);
  const std::vector<Activity> first = filesystem->activities();
  EXPECT_EQ(count_of(first, "open"), 100u);
  EXPECT_EQ(count_of(first, "close"), 100u);
  EXPECT_EQ(count_of(first, "write"), 100u);
  EXPECT_EQ(find(first, "write")->bytes, 100'000u);
  EXPECT_EQ(count_of(first, "fsync"), 10u);
  EXPECT_EQ(find(first, "fsync")->timed(), 10u);
  EXPECT_EQ(find(first, "open")->timed(), 2u);  // the first and the 65th
  EXPECT_GE(count_of(first, "commit"), 10u);
  EXPECT_EQ(find(first, "commit")->timed(), count_of(first, "commit"));
  EXPECT_GE(count_of(first, "device_flush"), 10u);
  EXPECT_GE(find(first, "device_write")->bytes, 10 * block_bytes);
  ASSERT_TRUE(filesystem->unmount().ok());
  filesystem.reset();

  filesystem = mount();
  EXPECT_EQ(count_of(filesystem->activities(), "write"), 0u);
  run_load(*filesystem, 50);
  ASSERT_TRUE(filesystem->unmount().ok());
  filesystem.reset();
  const CountersShown all = shown();
  EXPECT_EQ(count_of(all.activities, "open"), 150u);
  EXPECT_EQ(count_of(all.activities, "write"), 150u);
  EXPECT_EQ(find(all.activities, "write")->bytes, 150'000u);
  EXPECT_EQ(count_of(all.activities, "fsync"), 15u);
  EXPECT_EQ(find(all.activities, "fsync")->timed(), 15u);
  EXPECT_EQ(find(all.activities, "mkdir"), nullptr);
}

TEST_F(CountersTest, what_the_device_did_is_kept_for_it) {
  for (int round = 0; round < 2; ++round) {
    auto filesystem = mount();
    run_load(*filesystem, 20);
    ASSERT_TRUE(filesystem->unmount().ok());
  }
  const CountersShown all = shown();
  ASSERT_EQ(all.devices.size(), 1u);
  EXPECT_EQ(all.devices[0].path, image_.path());
  EXPECT_EQ(all.devices[0].state, "current");
  EXPECT_EQ(count_of(all.devices[0].activities, "device_write"), count_of(all.activities, "device_write"));
  const Result<Usage> used = usage(image_.path());
  ASSERT_TRUE(used.ok());
  EXPECT_GE(count_of(used->devices.at(0).activities, "device_flush"), 4u);
}

TEST_F(CountersTest, a_crash_forgets_only_what_came_after_the_last_checkpoint) {
  constexpr u64 files = 1000, rounds_max = 100;
  auto filesystem = mount();
  u64 rounds = 0;
  while (filesystem->counters().checkpoints == 0 && rounds < rounds_max) {
    run_load(*filesystem, files);
    ++rounds;
  }
  ASSERT_LT(rounds, rounds_max) << "no checkpoint";
  filesystem.reset();
  const u64 opened = count_of(shown().activities, "open");
  EXPECT_GT(opened, 0u);
  EXPECT_LE(opened, rounds * files);
  EXPECT_GE(opened, (rounds - 1) * files / 2);
  const Result<CheckReport> report = check(image_.path(), {});
  EXPECT_OK(report);
  EXPECT_TRUE(report->clean());
}

// A version that does not know the counters tree cannot replay its records, so the tree needs a feature bit; a filesystem
// without it must stay as such a version can read it.
TEST_F(CountersTest, a_filesystem_without_the_feature_gets_no_counters_tree) {
  for (const u64 block : {format::superblock_first_copy, format::superblock_second_copy, 256 * mib / block_bytes - 1}) {
    format::Superblock superblock;
    const std::vector<std::byte> raw = image_.read(block * block_bytes, sizeof superblock);
    std::memcpy(&superblock, raw.data(), sizeof superblock);
    ASSERT_EQ(superblock.features_required & format::feature_counters, format::feature_counters);
    superblock.features_required = superblock.features_required & ~format::feature_counters;
    format::seal(superblock);
    image_.overwrite(block * block_bytes, bytes_of(superblock));
  }
  auto filesystem = mount();
  run_load(*filesystem, 20);
  EXPECT_EQ(count_of(filesystem->activities(), "write"), 20u);
  ASSERT_TRUE(filesystem->unmount().ok());
  filesystem.reset();
  const CountersShown all = shown();
  EXPECT_TRUE(all.activities.empty());
  ASSERT_EQ(all.notes.size(), 1u);
  ListOptions options;
  options.tree = "counters";
  u64 keys = 0;
  EXPECT_OK(list(image_.path(), options, [&keys](const Listed&) { ++keys; }));
  EXPECT_EQ(keys, 0u);
}

}  // namespace
}  // namespace cowfs::admin
