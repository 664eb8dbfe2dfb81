// Repair: for each class of findings a damage is planted, named by check, made good, and everything else is as before.
//
//   COWFS_SIM_SEED=7 sim_test --gtest_filter='Repair.*'       one seed
#include <fcntl.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/admin/check_device.h"
#include "engine/admin/superblocks.h"
#include "engine/repair/corrupt.h"
#include "engine/repair/repair.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"
#include "engine/sim/tree_walk.h"

namespace cowfs::sim {
namespace {

using repair::RepairOptions;
using repair::RepairReport;

struct Sound {
  Image image;
  TreeFound tree;
};

TreeFound tree_of(const Image& image) {
  SimulatedFilesystem filesystem(image, {.cores = 2});
  TreeFound found;
  const Status mounted = filesystem.mount();
  EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  if (!mounted) return found;
  fs::Operations* operations = &filesystem.operations();
  TreeFound* into = &found;
  filesystem.run(0, [operations, into] { return walk_tree(operations, into); });
  return found;
}

Sound sound_of(Image image) {
  TreeFound tree = tree_of(image);
  EXPECT_TRUE(tree.problems.empty());
  return {std::move(image), std::move(tree)};
}

constexpr ScenarioSettings settings{.seed = 11, .clients = 2};

// There is history to replay.
const Sound& crashed() {
  static const Sound made = [] {
    Scenario scenario(settings);
    scenario.mount({.seed = 1});
    scenario.run_clients(300);
    scenario.close();
    scenario.mount({.seed = 2});
    scenario.run_clients(60);
    fs::Operations* operations = &scenario.filesystem().operations();
    EXPECT_TRUE(scenario.filesystem().run(0, [operations] { return operations->sync(); }).ok());
    scenario.abandon();
    return sound_of(scenario.filesystem().device().crash_image_all_lost());
  }();
  return made;
}

Task<void> make_file(fs::Operations* operations, std::string path, u64 offset, u64 bytes) {
  const Result<FileHandle> handle = co_await operations->open(path, O_RDWR | O_CREAT, 0644);
  EXPECT_TRUE(handle.ok());
  std::vector<std::byte> data(bytes);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(path.size() + offset + i * 7 + i / 4096);
  EXPECT_TRUE((co_await operations->write(*handle, offset, data)).ok());
  EXPECT_TRUE((co_await operations->fsync(*handle)).ok());
  EXPECT_TRUE((co_await operations->close(*handle)).ok());
}

// Trees of several levels, attributes, and files of several regions.
Task<void> fill(fs::Operations* operations) {
  const std::string value = "value of an attribute";
  for (u64 directory = 0; directory < 4; ++directory) {
    const std::string top = "/many" + std::to_string(directory);
    const std::string below = top + "/below";
    EXPECT_TRUE((co_await operations->mkdir(top, 0755)).ok());
    EXPECT_TRUE((co_await operations->mkdir(below, 0755)).ok());
    for (u64 i = 0; i < 150; ++i) {
      const std::string path = (i % 5 == 0 ? below : top) + "/a-file-with-a-longer-name-" + std::to_string(i);
      co_await make_file(operations, path, i % 7 == 0 ? 5 * block_bytes : 0, i % 3 == 0 ? 100 + i : i % 4 * 5000 + 2000);
      if (i % 10 != 0) continue;
      EXPECT_TRUE((co_await operations->set_xattr(path, "user.note", std::as_bytes(std::span(value)))).ok());
    }
    for (u64 piece = 0; piece < 8; ++piece)
      co_await make_file(operations, top + "/regions", piece * 150'000, 20'000 + piece * 1000);
  }
  EXPECT_TRUE((co_await operations->sync()).ok());
}

// Everything is in the checkpoints.
const Sound& closed() {
  static const Sound made = [] {
    SimulatedFilesystem filesystem(crashed().image, {.cores = 2});
    EXPECT_TRUE(filesystem.mount().ok());
    fs::Operations* operations = &filesystem.operations();
    for (runtime::CoreIndex core = 0; core < 2; ++core) {
      fs::CoreState* state = &filesystem.state().core(core);
      if (core == 0) filesystem.run(0, [operations] { return fill(operations); });
      EXPECT_TRUE(filesystem.run(core, [state] { return state->checkpoint_all(); }).ok());
    }
    EXPECT_TRUE(filesystem.close().ok());
    return sound_of(filesystem.device().image());
  }();
  return made;
}

Task<void> leave_orphan(fs::Operations* operations) {
  const std::string path = "/to-be-unlinked";
  const Result<FileHandle> handle = co_await operations->open(path, O_RDWR | O_CREAT, 0644);
  EXPECT_TRUE(handle.ok());
  const std::vector<std::byte> data(3 * block_bytes, std::byte{5});
  EXPECT_TRUE((co_await operations->write(*handle, 0, data)).ok());
  EXPECT_TRUE((co_await operations->unlink(path)).ok());
  EXPECT_TRUE((co_await operations->sync()).ok());
}

// A file was open when its last name went, and a checkpoint holds that.
const Sound& with_orphan() {
  static const Sound made = [] {
    SimulatedFilesystem filesystem(closed().image, {.cores = 1});
    EXPECT_TRUE(filesystem.mount().ok());
    fs::Operations* operations = &filesystem.operations();
    filesystem.run(0, [operations] { return leave_orphan(operations); });
    fs::CoreState* core = &filesystem.state().core(0);
    EXPECT_TRUE(filesystem.run(0, [core] { return core->checkpoint_all(); }).ok());
    filesystem.abandon();
    return sound_of(filesystem.device().crash_image_all_lost());
  }();
  return made;
}

admin::CheckReport check(const Image& image) {
  runtime::SimCores cores({.cores = 1});
  device::SimDevice device(image, {});
  const auto report = cores.run(0, [&] { return admin::check_device(device, admin::CheckOptions{}); });
  EXPECT_TRUE(report.ok()) << to_text(report.error());
  return report ? *report : admin::CheckReport{};
}

std::string text(const admin::CheckReport& report) {
  std::string lines;
  for (const admin::Finding& one : report.findings)
    lines += one.name + " slice " + one.slice + " " + one.tree + " " + one.where + " " + one.path + ": " + one.what + "\n";
  return lines;
}

std::string text(const RepairReport& report) {
  std::string lines = report.refused + "\n";
  for (const repair::Repair& one : report.repairs) lines += one.finding_class + ": " + one.what + "\n";
  return lines;
}

struct Repaired {
  RepairReport report;
  Image image;
  u64 writes = 0;
};

Repaired repair_image(const Image& image, const RepairOptions& options) {
  runtime::SimCores cores({.cores = 1});
  device::SimDevice device(image, {});
  auto report = cores.run(0, [&] { return repair::repair_device(device, options); });
  EXPECT_TRUE(report.ok()) << to_text(report.error());
  return {report ? *report : RepairReport{}, device.image(), device.counts().writes};
}

bool names(const admin::CheckReport& report, const std::string& finding_class) {
  for (const admin::Finding& one : report.findings)
    if (one.name == finding_class) return true;
  return false;
}

repair::Medium medium_of(Image& image) {
  return {[&image](u64 offset, MutableByteSpan into) { image.read(offset, into); },
          [&image](u64 offset, ByteSpan from) { image.write(offset, from); }};
}

// The image with one damage that check names so.
std::optional<Image> damaged(const Sound& sound, const std::string& finding_class, u64 seed) {
  Image image = sound.image;
  runtime::SimCores cores({.cores = 1});
  device::SimDevice device(image, {});
  const auto superblock = cores.run(0, [&] { return admin::read_superblock(device); });
  auto history = cores.run(0, [&] { return journal::read_history(device, superblock->superblock); });
  const repair::MetadataEditor editor(medium_of(image), superblock->superblock, std::move(*history));
  for (u64 attempt = 0; attempt < 60; ++attempt) {
    image = sound.image;
    const repair::Planted planted = repair::plant(editor, medium_of(image), finding_class, seed * 1000 + attempt);
    if (planted.what.empty() || !names(check(image), finding_class)) continue;
    std::printf("%-24s %s\n", finding_class.c_str(), planted.what.c_str());
    return image;
  }
  return std::nullopt;
}

// Inodes that the damage, or its repair, is about.
std::set<u64> touched_by(const RepairReport& report) {
  std::set<u64> touched;
  for (const repair::Repair& one : report.repairs) touched.insert({one.inode, one.directory});
  for (const admin::Finding& one : report.before.findings) touched.insert(one.inode);
  return touched;
}

bool is_touched(const TreeFound& tree, std::string path, const std::set<u64>& touched) {
  for (; !path.empty(); path.erase(path.rfind('/'))) {
    const auto inode = tree.inodes.find(path);
    if (inode != tree.inodes.end() && touched.contains(inode->second)) return true;
  }
  return false;
}

// What is not touched has its names and its content.
void expect_rest(const TreeFound& sound, const TreeFound& now, const std::set<u64>& touched) {
  for (const std::string& problem : now.problems) {
    const bool told = problem.find("extent_lost") != std::string::npos ||
                      problem.find("extent_checksum_mismatch") != std::string::npos;
    EXPECT_TRUE(told) << problem;
  }
  for (const auto& [path, described] : sound.names) {
    if (is_touched(sound, path, touched)) continue;
    const auto found = now.names.find(path);
    EXPECT_TRUE(found != now.names.end() && found->second == described) << path << " " << described;
    const u64 inode = sound.inodes.at(path);
    const auto content = sound.contents.find(inode);
    if (content == sound.contents.end()) continue;
    const auto read = now.contents.find(inode);
    EXPECT_TRUE(read != now.contents.end() && read->second == content->second) << path;
  }
}

// Repair of these puts everything back.
const std::set<std::string> nothing_lost{
    "superblock_copy_damaged", "commit_block_damaged",  "slice_header_damaged", "space_list_damaged",
    "node_misplaced",          "metadata_count_wrong",  "recovery_refused",     "lease_invalid",
    "bucket_not_leased",       "blocks_wrong",          "backpointer_missing",  "backpointer_wrong",
    "alloc_wrong",             "inode_misplaced",       "orphan_missing",       "name_type_wrong",
    "links_wrong",             "directory_size_wrong",  "parent_wrong",         "accounting_wrong",
    "extent_misplaced"};

void expect_repaired(const Sound& sound, const Image& image, const std::string& finding_class) {
  const RepairOptions options{.cut_journal = finding_class == "journal_damaged"};
  RepairOptions dry = options;
  dry.dry_run = true;
  const Repaired planned = repair_image(image, dry);
  EXPECT_EQ(planned.writes, 0u);
  EXPECT_TRUE(planned.image == image);
  EXPECT_FALSE(planned.report.written);

  const Repaired repaired = repair_image(image, options);
  SCOPED_TRACE(text(repaired.report.before) + text(repaired.report));
  EXPECT_EQ(text(planned.report), text(repaired.report));
  const bool isolated = finding_class == "data_checksum_wrong";
  EXPECT_EQ(repaired.report.written, !isolated);
  const admin::CheckReport after = check(repaired.image);
  EXPECT_TRUE(after.clean() || isolated) << text(after);
  const Repaired again = repair_image(repaired.image, options);
  EXPECT_EQ(again.writes, 0u);

  const TreeFound tree = tree_of(repaired.image);
  if (finding_class == "journal_damaged") {
    EXPECT_TRUE(tree.problems.empty()) << tree.problems.front();
  } else if (nothing_lost.contains(finding_class)) {
    expect_rest(sound.tree, tree, {});
  } else {
    std::set<u64> touched = touched_by(repaired.report);
    for (const admin::Finding& one : repaired.report.before.findings) {
      if (one.name != "slice_header_missing") continue;
      for (const auto& [path, inode] : sound.tree.inodes)
        if (std::to_string(format::slice_of(inode)) == one.slice) touched.insert(inode);
    }
    expect_rest(sound.tree, tree, touched);
  }
}

// A tree that the repaired one has to be, wherever a power cut came.
void expect_survives_power_cuts(const Image& image, const std::string& finding_class) {
  const Repaired whole = repair_image(image, {});
  ASSERT_TRUE(whole.report.written) << text(whole.report);
  const TreeFound wanted = tree_of(whole.image);
  const std::string before = text(whole.report.before);
  u64 untouched = 0;
  u64 done = 0;
  for (u64 request = 1;; ++request) {
    SCOPED_TRACE(testing::Message() << finding_class << ", power cut at request " << request);
    runtime::SimCores cores({.cores = 1});
    device::SimDevice device(image, {});
    u64 reads = 0;
    {
      device::SimDevice counted(image, {});
      const auto planned = cores.run(0, [&] { return repair::repair_device(counted, {.dry_run = true}); });
      ASSERT_TRUE(planned.ok());
      reads = counted.counts().reads;
    }
    device.set_faults({.power_cut_at = reads + request});
    const auto report = cores.run(0, [&] { return repair::repair_device(device, {}); });
    if (!device.power_is_cut()) break;
    Random random(request);
    const Image images[] = {device.crash_image_all_lost(), device.crash_image(random), device.crash_image(random)};
    for (const Image& left : images) {
      const admin::CheckReport found = check(left);
      const bool same = names(found, finding_class) || names(found, "recovery_refused");
      EXPECT_TRUE(found.clean() || same) << text(found);
      same ? ++untouched : ++done;
      const Repaired again = repair_image(left, {});
      EXPECT_TRUE(again.report.found_nothing() || again.report.written) << text(again.report);
      const TreeFound tree = tree_of(again.image);
      EXPECT_EQ(tree.names, wanted.names);
      EXPECT_EQ(tree.contents, wanted.contents);
    }
  }
  EXPECT_GT(untouched, 0u);
  EXPECT_GT(done, 0u);
}

class RepairOf : public testing::TestWithParam<std::string> {};

TEST_P(RepairOf, one_damage_of_its_class) {
  const std::string& finding_class = GetParam();
  for (const u64 seed : seeds(2)) {
    SCOPED_TRACE(testing::Message() << "COWFS_SIM_SEED=" << seed);
    const Sound* sound = &closed();
    if (finding_class == "journal_damaged") sound = &crashed();
    if (finding_class == "orphan_needless") sound = &with_orphan();
    const std::optional<Image> image = damaged(*sound, finding_class, seed);
    ASSERT_TRUE(image) << finding_class << " was not planted";
    expect_repaired(*sound, *image, finding_class);
  }
}

std::vector<std::string> classes() {
  std::vector<std::string> names;
  for (const auto& shown : admin::finding_classes())
    if (std::string(shown.name) != "data_unreadable") names.emplace_back(shown.name);
  return names;
}

TEST(Repair, power_cuts_leave_the_filesystem_as_it_was_or_repaired) {
  for (const char* finding_class : {"links_wrong", "alloc_wrong", "extent_pointer_invalid", "superblock_copy_damaged",
                                    "slice_header_damaged", "slice_header_missing"}) {
    const std::optional<Image> image = damaged(closed(), finding_class, 1);
    ASSERT_TRUE(image);
    expect_survives_power_cuts(*image, finding_class);
  }
}

// A repair was cut off before its commit; the filesystem is used for longer than its headers are ahead; then it still is what
// the mounts made of it.
TEST(Repair, headers_of_a_repair_that_was_cut_off_never_count) {
  const std::optional<Image> image = damaged(closed(), "links_wrong", 1);
  ASSERT_TRUE(image);
  Image left;
  for (u64 request = 1; left.size() == 0; ++request) {
    runtime::SimCores cores({.cores = 1});
    device::SimDevice device(*image, {});
    (void)cores.run(0, [&] { return repair::repair_device(device, {.dry_run = true}); });
    device::SimDevice cut(*image, {});
    cut.set_faults({.power_cut_at = device.counts().reads + request});
    (void)cores.run(0, [&] { return repair::repair_device(cut, {}); });
    ASSERT_TRUE(cut.power_is_cut());
    const Image now = cut.image();
    const format::Superblock superblock = [&] {
      format::Superblock read;
      now.read(block_bytes, std::as_writable_bytes(std::span(&read, 1)));
      return read;
    }();
    for (u64 place = 0; place < superblock.slices * 2ull; ++place) {
      format::SliceHeader header;
      now.read((superblock.slice_headers_block + place) * block_bytes, std::as_writable_bytes(std::span(&header, 1)));
      if (header.publish_epoch == header.checkpoint_epoch) left = now;
    }
  }
  ASSERT_TRUE(names(check(left), "links_wrong"));
  SimulatedFilesystem filesystem(left, {.cores = 1});
  ASSERT_TRUE(filesystem.mount().ok());
  fs::Operations* operations = &filesystem.operations();
  for (int round = 0; round < 100; ++round) {
    const std::string path = "/made-later" + std::to_string(round);
    const Status made = filesystem.run(0, [operations, path] { return operations->mkdir(path, 0755); });
    ASSERT_TRUE(made.ok()) << to_text(made.error());
    ASSERT_TRUE(filesystem.run(0, [operations] { return operations->sync(); }).ok());
  }
  filesystem.abandon();
  const TreeFound tree = tree_of(filesystem.device().crash_image_all_lost());
  EXPECT_TRUE(tree.names.contains("/made-later99"));
}

INSTANTIATE_TEST_SUITE_P(Repair, RepairOf, testing::ValuesIn(classes()), [](const auto& one) { return one.param; });

}  // namespace
}  // namespace cowfs::sim
