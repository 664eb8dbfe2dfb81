// Repair of filesystems on several devices: what one device alone has wrong, and devices that are missing or stale.
#include "engine/format/pool_map.h"
#include "engine/sim/repair_test_internal.h"

namespace cowfs::sim {
namespace {

const Layout* const layouts_with_copies[] = {&two_copies, &in_stripes};
const Layout* const layouts_of_several[] = {&two_copies, &two_devices, &in_stripes};

std::string name_of(const testing::TestParamInfo<const Layout*>& one) { return one.param->name; }

Images without(Images images, std::size_t device) {
  images[device] = Image{};
  return images;
}

bool is_about_a_copy(const repair::Repair& one) {
  return one.finding_class == "copy_damaged" || one.finding_class == "superblock_copy_damaged";
}

// Everything is good on all devices: it is there, too, without any one of them.
void expect_spare_devices(const TreeFound& wanted, const Images& images) {
  for (std::size_t device = 0; device < images.size(); ++device) {
    const Images left = without(images, device);
    const admin::CheckReport found = check(left);
    EXPECT_TRUE(found.clean()) << text(found);
    const TreeFound tree = tree_of(left, true);
    EXPECT_EQ(tree.names, wanted.names) << "without device " << device;
    EXPECT_EQ(tree.contents, wanted.contents) << "without device " << device;
  }
}

class RepairWithCopies : public testing::TestWithParam<const Layout*> {};

// Check reads past it, so repair has to look through all copies.
TEST_P(RepairWithCopies, what_one_device_alone_has_wrong_comes_from_the_others) {
  for (const char* finding_class :
       {"superblock_copy_damaged", "commit_block_damaged", "journal_damaged", "slice_header_damaged",
        "slice_header_missing", "space_list_damaged", "node_damaged", "tree_unreadable", "data_checksum_wrong"}) {
    const Sound& sound = sound_for(finding_class, *GetParam());
    u16 members = 0;  // that have such a thing
    for (u16 member = 0; member < GetParam()->devices; ++member) {
      SCOPED_TRACE(testing::Message() << finding_class << " on device " << member);
      Bench bench(sound.images);
      const auto planted = bench.corrupt({.finding_class = finding_class, .seed = member + 5u, .member = member});
      ASSERT_TRUE(planted.ok());
      if (planted->impossible.find("on another device") != std::string::npos) continue;
      ASSERT_TRUE(planted->impossible.empty()) << planted->impossible;
      ++members;
      const Images damaged = bench.images();
      for (std::size_t device = 0; device < damaged.size(); ++device)
        EXPECT_EQ(damaged[device] == sound.images[device], device != member) << device;
      const bool is_named = std::string(finding_class) == "superblock_copy_damaged";
      EXPECT_EQ(check(damaged).clean(), !is_named);

      const Repaired planned = repair_images(damaged, {.dry_run = true});
      EXPECT_EQ(planned.writes, 0u);
      const Repaired repaired = repair_images(damaged, {});
      SCOPED_TRACE(text(repaired.report));
      EXPECT_EQ(text(planned.report), text(repaired.report));
      EXPECT_TRUE(repaired.report.written && repaired.report.left_nothing());
      for (const repair::Repair& one : repaired.report.repairs) EXPECT_TRUE(is_about_a_copy(one) && !one.is_loss);
      EXPECT_EQ(repair_images(repaired.images, {}).writes, 0u);
      expect_spare_devices(sound.tree, repaired.images);
    }
    EXPECT_GE(members, 2) << finding_class;
  }
}

// Not by reading: a copy that is right by itself is no damage that anybody could name.
TEST_P(RepairWithCopies, one_device_is_not_given_a_filesystem_of_its_own) {
  Bench bench(closed(*GetParam()).images);
  const auto planted = bench.corrupt({.finding_class = "links_wrong", .member = 1});
  ASSERT_TRUE(planted.ok());
  EXPECT_NE(planted->impossible.find("nobody could tell"), std::string::npos) << planted->impossible;
  EXPECT_NE(bench.corrupt({.finding_class = "links_wrong", .member = 9})->impossible, "");
  EXPECT_EQ(bench.writes(), 0u);
}

// Behind what says which device it is. With an even seed nothing else is left.
void make_holes(device::SimDevice& device, u64 seed) {
  const u64 bytes = device.capacity().value - mib - block_bytes;
  if (seed % 2 == 0) return device.damage(mib, bytes);
  Random random(seed);
  for (int hole = 0; hole < 4000; ++hole) device.damage(mib + round_down(random.below(bytes), block_bytes), block_bytes);
}

// Whatever else one device has lost, all that can be saved from the others is.
TEST_P(RepairWithCopies, a_device_full_of_holes_costs_nothing_beside_a_damage_of_all_copies) {
  for (const char* finding_class :
       {"slice_header_missing", "node_damaged", "tree_unreadable", "journal_damaged", "blocks_shared",
        "extent_pointer_invalid", "commit_block_damaged", "alloc_wrong", "name_without_inode"}) {
    for (const u64 seed : seeds(2)) {
      SCOPED_TRACE(testing::Message() << finding_class << " COWFS_SIM_SEED=" << seed);
      const Sound& sound = sound_for(finding_class, *GetParam());
      const std::optional<Images> images = damaged(sound, finding_class, seed);
      ASSERT_TRUE(images);
      Bench bench(*images);
      make_holes(bench.device(seed % GetParam()->devices), seed);
      const RepairOptions options{.cut_journal = true};
      const Repaired whole = repair_images(*images, options);
      const Repaired repaired = repair_images(bench.images(), options);
      SCOPED_TRACE(text(repaired.report));
      ASSERT_TRUE(repaired.report.written && repaired.report.left_nothing());
      const TreeFound wanted = tree_of(whole.images), tree = tree_of(repaired.images);
      EXPECT_EQ(tree.names, wanted.names);
      // What nobody has a checksum of any more is not taken from copies that differ.
      for (const auto& [inode, content] : tree.contents) EXPECT_TRUE(content == wanted.contents.at(inode)) << inode;
      EXPECT_EQ(repair_images(repaired.images, options).writes, 0u);
      expect_spare_devices(tree, repaired.images);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Repair, RepairWithCopies, testing::ValuesIn(layouts_with_copies), name_of);

class RepairOfSeveral : public testing::TestWithParam<const Layout*> {};

// Its superblock says that it was told of the newest map.
TEST_P(RepairOfSeveral, a_lost_map_of_one_device_is_written_anew) {
  const Sound& sound = crashed(*GetParam());
  for (std::size_t device = 0; device < sound.images.size(); ++device) {
    SCOPED_TRACE(testing::Message() << "device " << device);
    Bench bench(sound.images);
    bench.device(device).damage(format::pool_map_first_block * block_bytes,
                                2 * format::pool_map_place_blocks * block_bytes);
    const admin::CheckReport found = check(bench.images());
    ASSERT_EQ(found.findings_total, 1u) << text(found);
    EXPECT_EQ(found.findings.front().name, "superblock_copy_damaged");
    EXPECT_NE(found.findings.front().what.find("member " + std::to_string(device)), std::string::npos);
    const Repaired repaired = repair_images(bench.images(), {});
    EXPECT_TRUE(repaired.report.written && repaired.report.left_nothing()) << text(repaired.report);
    EXPECT_TRUE(check(repaired.images).clean());
    const TreeFound tree = tree_of(repaired.images);
    EXPECT_EQ(tree.names, sound.tree.names);
    EXPECT_EQ(tree.contents, sound.tree.contents);
  }
}

Code refused(const Images& images, bool degraded) {
  Bench bench(images);
  const auto report = bench.repair({.degraded = degraded});
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(bench.writes(), 0u);
  return report ? Code{} : report.error().code;
}

TEST_P(RepairOfSeveral, without_a_device_it_is_repaired_only_when_asked_to_and_only_with_a_copy_of_everything) {
  const Sound& sound = closed(*GetParam());
  const std::optional<Images> images = damaged(sound, "links_wrong", 1);
  ASSERT_TRUE(images);
  for (std::size_t device = 0; device < images->size(); ++device) {
    SCOPED_TRACE(testing::Message() << "without device " << device);
    const Images left = without(*images, device);
    EXPECT_EQ(refused(left, false), Code::superblock_devices_missing);
    if (!GetParam()->has_copies()) {
      EXPECT_EQ(refused(left, true), Code::superblock_devices_missing);
      continue;
    }
    if (images->size() > 2) {
      EXPECT_EQ(refused(without(left, (device + 1) % images->size()), true), Code::superblock_devices_missing);
    }
    const Repaired repaired = repair_images(left, {.degraded = true});
    EXPECT_TRUE(repaired.report.written && repaired.report.left_nothing()) << text(repaired.report);
    EXPECT_EQ(tree_of(repaired.images, true).names, sound.tree.names);
    // The one that was away is stale from now on: it counts for nothing, and nothing is written to it.
    Images with_stale = repaired.images;
    with_stale[device] = (*images)[device];
    EXPECT_EQ(refused(with_stale, false), Code::pool_device_stale);
    const Repaired nothing = repair_images(with_stale, {.degraded = true});
    EXPECT_TRUE(nothing.report.found_nothing()) << text(nothing.report);
    EXPECT_EQ(nothing.writes, 0u);
  }
}

// A device missed a mount, after which the others are damaged.
TEST_P(RepairOfSeveral, nothing_is_written_to_a_stale_device) {
  if (!GetParam()->has_copies()) return;
  const std::optional<Images> images = damaged(closed(*GetParam()), "links_wrong", 1);
  ASSERT_TRUE(images);
  SimulatedFilesystem filesystem(without(*images, 1), {.cores = 1, .degraded = true});
  ASSERT_TRUE(filesystem.mount().ok());
  ASSERT_TRUE(filesystem.close().ok());
  Images with_stale = filesystem.images();
  with_stale[1] = images->at(1);
  const Repaired repaired = repair_images(with_stale, {.degraded = true});
  EXPECT_TRUE(repaired.report.written && repaired.report.left_nothing()) << text(repaired.report);
  EXPECT_TRUE(repaired.images[1] == with_stale[1]);
  EXPECT_TRUE(check(repaired.images).clean());
}

// With one copy of everything, a damage lies on one device.
TEST(Repair, a_damage_is_planted_on_the_device_that_was_asked_for) {
  const Sound& sound = closed(two_devices);
  for (u16 member = 0; member < two_devices.devices; ++member) {
    Bench bench(sound.images);
    const auto planted = bench.corrupt({.finding_class = "data_checksum_wrong", .member = member});
    ASSERT_TRUE(planted.ok() && planted->impossible.empty()) << planted->impossible;
    EXPECT_EQ(bench.device(1 - member).counts().writes, 0u);
    const Images images = bench.images();
    EXPECT_TRUE(names(check(images), "data_checksum_wrong"));
  }
}

INSTANTIATE_TEST_SUITE_P(Repair, RepairOfSeveral, testing::ValuesIn(layouts_of_several), name_of);

}  // namespace
}  // namespace cowfs::sim
