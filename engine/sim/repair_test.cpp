// Repair: for each class of findings a damage is planted, named by check, made good, and everything else is as before.
//
//   COWFS_SIM_SEED=7 sim_test --gtest_filter='Repair.*'       one seed
#include <fcntl.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/admin/check_device.h"
#include "engine/pool/superblocks.h"
#include "engine/repair/corrupt.h"
#include "engine/repair/repair.h"
#include "engine/sim/crafted_image.h"
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

const ScenarioSettings settings{.seed = 11, .clients = 2};

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

Task<FileHandle> leave_orphan(fs::Operations* operations) {
  const std::string path = "/to-be-unlinked";
  const Result<FileHandle> handle = co_await operations->open(path, O_RDWR | O_CREAT, 0644);
  EXPECT_TRUE(handle.ok());
  const std::vector<std::byte> data(3 * block_bytes, std::byte{5});
  EXPECT_TRUE((co_await operations->write(*handle, 0, data)).ok());
  EXPECT_TRUE((co_await operations->unlink(path)).ok());
  EXPECT_TRUE((co_await operations->sync()).ok());
  co_return *handle;
}

// A file was open when its last name went, and a checkpoint holds that.
const Sound& with_orphan() {
  static const Sound made = [] {
    SimulatedFilesystem filesystem(closed().image, {.cores = 1});
    EXPECT_TRUE(filesystem.mount().ok());
    fs::Operations* operations = &filesystem.operations();
    const FileHandle open = filesystem.run(0, [operations] { return leave_orphan(operations); });
    fs::CoreState* core = &filesystem.state().core(0);
    EXPECT_TRUE(filesystem.run(0, [core] { return core->checkpoint_all(); }).ok());
    Image left = filesystem.device().crash_image_all_lost();
    EXPECT_TRUE(filesystem.run(0, [operations, open] { return operations->close(open); }).ok());
    filesystem.abandon();
    return sound_of(std::move(left));
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

repair::MetadataEditor editor_of(Image& image) {
  runtime::SimCores cores({.cores = 1});
  device::SimDevice device(image, {});
  const auto superblock = cores.run(0, [&] { return pool::read_superblock(device); });
  auto history = cores.run(0, [&] { return journal::read_history(device, superblock->superblock); });
  return {medium_of(image), superblock->superblock, std::move(*history)};
}

// The image with one damage that check names so.
std::optional<Image> damaged(const Sound& sound, const std::string& finding_class, u64 seed) {
  Image image = sound.image;
  const repair::MetadataEditor editor = editor_of(image);
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
    "extent_misplaced",        "slice_header_missing"};

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
    expect_rest(sound.tree, tree, touched_by(repaired.report));
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

// Several at once, of any classes: what one repair does must not rely on what another one relies on.
TEST(Repair, many_damages_at_once) {
  const auto all = admin::finding_classes();
  for (const u64 seed : seeds(20)) {
    SCOPED_TRACE(testing::Message() << "COWFS_SIM_SEED=" << seed);
    Random random(seed);
    Image image = closed().image;
    const repair::MetadataEditor editor = editor_of(image);
    std::string planted;
    for (u64 count = 2 + random.below(6); count > 0; --count) {
      const std::string finding_class = all[random.below(all.size())].name;
      planted += finding_class + ": " + repair::plant(editor, medium_of(image), finding_class, random.next()).what + "\n";
    }
    SCOPED_TRACE(planted);
    const Repaired repaired = repair_image(image, {.cut_journal = true});
    SCOPED_TRACE(text(repaired.report.before) + text(repaired.report));
    EXPECT_TRUE(repaired.report.refused.empty());
    const Repaired again = repair_image(repaired.image, {.cut_journal = true});
    EXPECT_EQ(again.writes, 0u) << text(again.report.before);
    for (const std::string& problem : tree_of(repaired.image).problems) {
      const bool told = problem.find("extent_lost") != std::string::npos ||
                        problem.find("extent_checksum_mismatch") != std::string::npos;
      EXPECT_TRUE(told) << problem;
    }
  }
}

// Images that no damage would leave: repaired, or refused without a word on the device; never an abort.
TEST(Repair, crafted_images_are_repaired_or_refused) {
  const Crafter crafter(image_to_change({.seed = 7, .clients = 2}));
  u64 written = 0;
  u64 refused = 0;
  for (const u64 seed : seeds(150)) {
    Draws draws(seed);
    Image image = crafter.sound();
    const std::string what = crafter.change(image, draws);
    SCOPED_TRACE(testing::Message() << "COWFS_SIM_SEED=" << seed << ": " << what);
    runtime::SimCores cores({.cores = 1});
    device::SimDevice device(image, {});
    const auto report = cores.run(0, [&] { return repair::repair_device(device, {.cut_journal = true}); });
    if (!report) continue;  // no superblock is left
    if (!report->refused.empty()) {
      ++refused;
      std::printf("%s: %s\n", what.c_str(), report->refused.c_str());
      EXPECT_EQ(device.counts().writes, 0u);
      continue;
    }
    if (!report->written) continue;
    ++written;
    for (const admin::Finding& one : check(device.image()).findings) EXPECT_EQ(one.name, "data_checksum_wrong") << one.what;
  }
  std::printf("%llu repaired, %llu refused\n", static_cast<unsigned long long>(written),
              static_cast<unsigned long long>(refused));
}

Task<void> use_lost_range(fs::Operations* operations, std::string path, u64 size, u64* lost) {
  const Result<FileHandle> handle = co_await operations->open(path, O_RDWR, 0);
  EXPECT_TRUE(handle.ok());
  std::vector<std::byte> block(block_bytes);
  for (u64 at = 0; at < size; at += block_bytes) {
    const Result<u64> read = co_await operations->read(*handle, at, block);
    if (read) continue;
    EXPECT_EQ(read.error().code, Code::extent_lost);
    ++*lost;
    const ByteSpan part = ByteSpan(block).first(100);
    EXPECT_FALSE((co_await operations->write(*handle, at + 1, part)).ok());
    EXPECT_TRUE((co_await operations->write(*handle, at, block)).ok());
    EXPECT_TRUE((co_await operations->read(*handle, at, block)).ok());
  }
  EXPECT_TRUE((co_await operations->fsync(*handle)).ok());
  EXPECT_TRUE((co_await operations->truncate(*handle, 0)).ok());
  EXPECT_TRUE((co_await operations->close(*handle)).ok());
  EXPECT_TRUE((co_await operations->unlink(path)).ok());
}

TEST(Repair, what_could_not_be_saved_reads_as_an_error_until_it_is_written) {
  for (u64 seed = 1;; ++seed) {
    const std::optional<Image> image = damaged(closed(), "extent_pointer_invalid", seed);
    ASSERT_TRUE(image);
    const Repaired repaired = repair_image(*image, {});
    const auto gone = std::find_if(repaired.report.repairs.begin(), repaired.report.repairs.end(),
                                   [](const repair::Repair& one) { return one.finding_class == "extent_lost"; });
    if (gone == repaired.report.repairs.end()) continue;
    const auto path = std::find_if(closed().tree.inodes.begin(), closed().tree.inodes.end(),
                                   [&](const auto& one) { return one.second == gone->inode; });
    ASSERT_NE(path, closed().tree.inodes.end());
    const u64 size = closed().tree.contents.at(gone->inode).size();
    SimulatedFilesystem filesystem(repaired.image, {.cores = 2});
    ASSERT_TRUE(filesystem.mount().ok());
    fs::Operations* operations = &filesystem.operations();
    u64 lost = 0;
    filesystem.run(0, [operations, &path, size, &lost] { return use_lost_range(operations, path->first, size, &lost); });
    EXPECT_NE(gone->what.find(": " + std::to_string(lost) + " blocks from"), std::string::npos) << gone->what << lost;
    ASSERT_TRUE(filesystem.close().ok());
    const admin::CheckReport after = check(filesystem.device().image());
    EXPECT_TRUE(after.clean()) << text(after);
    return;
  }
}

Task<void> count_errors(fs::Operations* operations, std::string path, u64 size, u64* errors) {
  const Result<FileHandle> handle = co_await operations->open(path, O_RDONLY, 0);
  EXPECT_TRUE(handle.ok());
  std::vector<std::byte> block(block_bytes);
  for (u64 at = 0; at < size; at += block_bytes)
    if (!co_await operations->read(*handle, at, block)) ++*errors;
  EXPECT_TRUE((co_await operations->close(*handle)).ok());
}

// A reader that goes through a file was refused the whole window of a damaged block, because it was read ahead.
TEST(Repair, a_damaged_block_costs_its_neighbours_nothing) {
  const std::optional<Image> image = damaged(closed(), "data_checksum_wrong", 1);
  ASSERT_TRUE(image);
  const std::string path = check(*image).findings.front().path;
  const u64 size = closed().tree.contents.at(closed().tree.inodes.at(path)).size();
  SimulatedFilesystem filesystem(*image, {.cores = 2});
  ASSERT_TRUE(filesystem.mount().ok());
  fs::Operations* operations = &filesystem.operations();
  u64 errors = 0;
  filesystem.run(0, [operations, path, size, &errors] { return count_errors(operations, path, size, &errors); });
  EXPECT_GT(size, block_bytes);
  EXPECT_EQ(errors, 1u);
}

Task<void> fill_up(fs::Operations* operations) {
  for (u64 number = 0;; ++number) {
    const std::string path = "/filler" + std::to_string(number);
    const Result<FileHandle> handle = co_await operations->open(path, O_RDWR | O_CREAT, 0644);
    if (!handle) co_return;
    const std::vector<std::byte> data(60'000, std::byte{9});
    const Result<u64> written = co_await operations->write(*handle, 0, data);
    EXPECT_TRUE((co_await operations->close(*handle)).ok());
    if (!written) co_return;
  }
}

TEST(Repair, a_full_filesystem_has_room_for_its_repair) {
  SimulatedFilesystem filesystem(closed().image, {.cores = 2});
  ASSERT_TRUE(filesystem.mount().ok());
  fs::Operations* operations = &filesystem.operations();
  filesystem.run(0, [operations] { return fill_up(operations); });
  ASSERT_TRUE(filesystem.close().ok());
  const Sound full = sound_of(filesystem.device().image());
  for (const char* finding_class : {"links_wrong", "slice_header_missing"}) {
    const std::optional<Image> image = damaged(full, finding_class, 1);
    ASSERT_TRUE(image);
    expect_repaired(full, *image, finding_class);
  }
}

// One part of the device answers reads with an error, until it is written.
TEST(Repair, parts_of_the_device_that_cannot_be_read) {
  Image image = closed().image;
  const repair::MetadataEditor editor = editor_of(image);
  const format::Superblock& superblock = editor.superblock();
  struct Part {
    std::string name;
    u64 offset;
    u64 bytes;
  };
  std::vector<Part> parts{{"superblock", block_bytes, block_bytes},
                          {"commit ring", superblock.commit_ring_block * block_bytes, 64 * 4 * block_bytes},
                          {"journal", superblock.journal_first_bucket * superblock.bucket_blocks * block_bytes,
                           superblock.journal_buckets * superblock.bucket_blocks * block_bytes}};
  for (u16 slice = 0; slice < superblock.slices; ++slice) {
    const u64 header = editor.header_offset(slice);
    parts.push_back({"header in force", header, block_bytes});
    parts.push_back({"older header", header ^ block_bytes, block_bytes});
    parts.push_back({"both headers", std::min(header, header ^ block_bytes), 2 * block_bytes});
    const format::Address list{editor.header(medium_of(image), slice).space_list_address};
    parts.push_back({"space list", list.offset_bytes(), block_bytes});
  }
  for (std::size_t i = 0; i < editor.nodes().size(); i += 7) {
    const format::NodePointer& node = editor.nodes()[i].pointer;
    parts.push_back({"node", format::Address{node.address}.offset_bytes(), node.blocks() * block_bytes});
  }
  for (const Part& part : parts) {
    SCOPED_TRACE(testing::Message() << part.name << " at " << part.offset);
    runtime::SimCores cores({.cores = 1});
    device::SimDevice device(image, {});
    device.make_unreadable(part.offset, part.bytes);
    const auto report = cores.run(0, [&] { return repair::repair_device(device, {.cut_journal = true}); });
    ASSERT_TRUE(report.ok()) << to_text(report.error());
    EXPECT_TRUE(report->refused.empty()) << text(*report);
    const auto after = cores.run(0, [&] { return admin::check_device(device, admin::CheckOptions{}); });
    ASSERT_TRUE(after.ok());
    EXPECT_TRUE(after->clean()) << text(*after);
    EXPECT_TRUE(tree_of(device.image()).names.size() > 100);
  }
}

TEST(Repair, data_that_cannot_be_read_stay_and_are_named) {
  Image image = closed().image;
  runtime::SimCores cores({.cores = 1});
  device::SimDevice device(image, {});
  const format::Superblock superblock = editor_of(image).superblock();
  const u64 first = superblock.first_data_bucket * superblock.bucket_blocks * block_bytes;
  const auto sound = cores.run(0, [&] { return admin::check_device(device, admin::CheckOptions{}); });
  ASSERT_TRUE(sound.ok() && sound->clean());
  for (u64 at = first;; at += 8 * block_bytes) {
    device::SimDevice damaged_device(image, {});
    damaged_device.make_unreadable(at, block_bytes);
    const auto report = cores.run(0, [&] { return repair::repair_device(damaged_device, {}); });
    ASSERT_TRUE(report.ok());
    if (!names(report->before, "data_unreadable")) continue;
    EXPECT_EQ(report->after.findings.size(), 1u) << text(report->after);
    EXPECT_FALSE(report->left_nothing());
    EXPECT_EQ(damaged_device.counts().writes, 0u);
    return;
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
