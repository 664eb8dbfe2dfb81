// Repair: for each class of findings a damage is planted, named by check, made good, and everything else is as before.
//
//   COWFS_SIM_SEED=7 sim_test --gtest_filter='Repair*'       one seed
#include "engine/sim/crafted_image.h"
#include "engine/sim/repair_test_internal.h"

namespace cowfs::sim {
namespace {

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

// A tree that the repaired one has to be, wherever a power cut came: at some request to one of the devices, which goes for all.
class PowerCuts {
 public:
  // `stride`: after each so-manieth request; what a mount and a scrub write, where there are copies, is much.
  PowerCuts(const Images& images, const std::string& finding_class, u64 stride)
      : images_(images),
        finding_class_(finding_class),
        stride_(stride),
        whole_(repair_images(images, {})),
        wanted_(tree_of(whole_.images)) {}

  void expect_survived() {
    ASSERT_TRUE(whole_.report.written) << text(whole_.report);
    Bench planned(images_);
    ASSERT_TRUE(planned.repair({.dry_run = true}).ok());
    for (std::size_t device = 0; device < images_.size(); ++device)
      for (u64 request = 1 + device; cut_at(device, planned.device(device).counts().reads + request);
           request += stride_) {
      }
    EXPECT_GT(untouched_, 0u);
    EXPECT_GT(done_, 0u);
  }

 private:
  // False: the repair ends before that.
  bool cut_at(std::size_t device, u64 request) {
    SCOPED_TRACE(testing::Message() << finding_class_ << ", power cut at request " << request << " to device "
                                    << device);
    Bench bench(images_);
    bench.share_power();
    bench.device(device).set_faults({.power_cut_at = request});
    (void)bench.repair({});
    if (!bench.device(device).power_is_cut()) return false;
    Random random(request);
    expect_as_it_was_or_repaired(images_left(bench, [](const auto& one) { return one.crash_image_all_lost(); }));
    expect_as_it_was_or_repaired(images_left(bench, [&random](const auto& one) { return one.crash_image(random); }));
    expect_as_it_was_or_repaired(bench.images());
    return true;
  }

  template <typename Left>
  Images images_left(Bench& bench, Left left) const {
    Images images;
    for (std::size_t device = 0; device < images_.size(); ++device) images.push_back(left(bench.device(device)));
    return images;
  }

  void expect_as_it_was_or_repaired(const Images& left) {
    const admin::CheckReport found = check(left);
    const bool same = names(found, finding_class_) || names(found, "recovery_refused");
    EXPECT_TRUE(found.clean() || same) << text(found);
    same ? ++untouched_ : ++done_;
    const Repaired again = repair_images(left, {});
    EXPECT_TRUE(again.report.found_nothing() || again.report.written) << text(again.report);
    const TreeFound tree = tree_of(again.images);
    EXPECT_EQ(tree.names, wanted_.names);
    EXPECT_EQ(tree.contents, wanted_.contents);
  }

  const Images& images_;
  const std::string finding_class_;
  const u64 stride_;
  const Repaired whole_;
  const TreeFound wanted_;
  u64 untouched_ = 0;
  u64 done_ = 0;
};

class RepairOf : public testing::TestWithParam<std::tuple<const Layout*, std::string>> {};

TEST_P(RepairOf, one_damage_of_its_class) {
  const auto& [layout, finding_class] = GetParam();
  for (const u64 seed : seeds(2)) {
    SCOPED_TRACE(testing::Message() << "COWFS_SIM_SEED=" << seed);
    const Sound& sound = sound_for(finding_class, *layout);
    const std::optional<Images> images = damaged(sound, finding_class, seed);
    ASSERT_TRUE(images) << finding_class << " was not planted";
    expect_repaired(sound, *images, finding_class);
  }
}

// Several at once, of any classes: what one repair does must not rely on what another one relies on.
TEST(Repair, many_damages_at_once) {
  const auto all = admin::finding_classes();
  for (const u64 seed : seeds(20)) {
    SCOPED_TRACE(testing::Message() << "COWFS_SIM_SEED=" << seed);
    Random random(seed);
    Image image = closed().images.front();
    const repair::MetadataEditor editor = editor_of(image);
    std::string planted;
    for (u64 count = 2 + random.below(6); count > 0; --count) {
      const std::string finding_class = all[random.below(all.size())].name;
      planted += finding_class + ": " + repair::plant(editor, medium_of(image), finding_class, random.next()).what + "\n";
    }
    SCOPED_TRACE(planted);
    const Repaired repaired = repair_images({image}, {.cut_journal = true});
    SCOPED_TRACE(text(repaired.report.before) + text(repaired.report));
    EXPECT_TRUE(repaired.report.refused.empty());
    const Repaired again = repair_images(repaired.images, {.cut_journal = true});
    EXPECT_EQ(again.writes, 0u) << text(again.report.before);
    for (const std::string& problem : tree_of(repaired.images).problems) {
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
    const auto report = cores.run(0, [&] { return repair::repair_devices({&device}, {.cut_journal = true}); });
    if (!report) continue;  // no superblock is left
    if (!report->refused.empty()) {
      ++refused;
      std::printf("%s: %s\n", what.c_str(), report->refused.c_str());
      EXPECT_EQ(device.counts().writes, 0u);
      continue;
    }
    if (!report->written) continue;
    ++written;
    for (const admin::Finding& one : check({device.image()}).findings)
      EXPECT_EQ(one.name, "data_checksum_wrong") << one.what;
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
    const std::optional<Images> images = damaged(closed(), "extent_pointer_invalid", seed);
    ASSERT_TRUE(images);
    const Repaired repaired = repair_images(*images, {});
    const auto gone = std::find_if(repaired.report.repairs.begin(), repaired.report.repairs.end(),
                                   [](const repair::Repair& one) { return one.finding_class == "extent_lost"; });
    if (gone == repaired.report.repairs.end()) continue;
    const auto path = std::find_if(closed().tree.inodes.begin(), closed().tree.inodes.end(),
                                   [&](const auto& one) { return one.second == gone->inode; });
    ASSERT_NE(path, closed().tree.inodes.end());
    const u64 size = closed().tree.contents.at(gone->inode).size();
    SimulatedFilesystem filesystem(repaired.images, {.cores = 2});
    ASSERT_TRUE(filesystem.mount().ok());
    fs::Operations* operations = &filesystem.operations();
    u64 lost = 0;
    filesystem.run(0, [operations, &path, size, &lost] { return use_lost_range(operations, path->first, size, &lost); });
    EXPECT_NE(gone->what.find(": " + std::to_string(lost) + " blocks from"), std::string::npos) << gone->what << lost;
    ASSERT_TRUE(filesystem.close().ok());
    const admin::CheckReport after = check(filesystem.images());
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
  const std::optional<Images> images = damaged(closed(), "data_checksum_wrong", 1);
  ASSERT_TRUE(images);
  const std::string path = check(*images).findings.front().path;
  const u64 size = closed().tree.contents.at(closed().tree.inodes.at(path)).size();
  SimulatedFilesystem filesystem(*images, {.cores = 2});
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
  SimulatedFilesystem filesystem(closed().images, {.cores = 2});
  ASSERT_TRUE(filesystem.mount().ok());
  fs::Operations* operations = &filesystem.operations();
  filesystem.run(0, [operations] { return fill_up(operations); });
  ASSERT_TRUE(filesystem.close().ok());
  const Sound full = sound_of(filesystem.images());
  for (const char* finding_class : {"links_wrong", "slice_header_missing"}) {
    const std::optional<Images> images = damaged(full, finding_class, 1);
    ASSERT_TRUE(images);
    expect_repaired(full, *images, finding_class);
  }
}

// One part of the device answers reads with an error, until it is written.
TEST(Repair, parts_of_the_device_that_cannot_be_read) {
  Image image = closed().images.front();
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
    const auto report = cores.run(0, [&] { return repair::repair_devices({&device}, {.cut_journal = true}); });
    ASSERT_TRUE(report.ok()) << to_text(report.error());
    EXPECT_TRUE(report->refused.empty()) << text(*report);
    const auto after = cores.run(0, [&] { return admin::check_device(device, admin::CheckOptions{}); });
    ASSERT_TRUE(after.ok());
    EXPECT_TRUE(after->clean()) << text(*after);
    EXPECT_TRUE(tree_of({device.image()}).names.size() > 100);
  }
}

TEST(Repair, data_that_cannot_be_read_stay_and_are_named) {
  Image image = closed().images.front();
  runtime::SimCores cores({.cores = 1});
  device::SimDevice device(image, {});
  const format::Superblock superblock = editor_of(image).superblock();
  const u64 first = superblock.first_data_bucket * superblock.bucket_blocks * block_bytes;
  const auto sound = cores.run(0, [&] { return admin::check_device(device, admin::CheckOptions{}); });
  ASSERT_TRUE(sound.ok() && sound->clean());
  for (u64 at = first;; at += 8 * block_bytes) {
    device::SimDevice damaged_device(image, {});
    damaged_device.make_unreadable(at, block_bytes);
    const auto report = cores.run(0, [&] { return repair::repair_devices({&damaged_device}, {}); });
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

class RepairOn : public testing::TestWithParam<const Layout*> {};

TEST_P(RepairOn, power_cuts_leave_the_filesystem_as_it_was_or_repaired) {
  for (const char* finding_class : {"links_wrong", "alloc_wrong", "extent_pointer_invalid", "superblock_copy_damaged",
                                    "slice_header_damaged", "slice_header_missing"}) {
    const std::optional<Images> images = damaged(closed(*GetParam()), finding_class, 1);
    ASSERT_TRUE(images);
    PowerCuts(*images, finding_class, GetParam()->has_copies() ? 5 * GetParam()->devices : 1).expect_survived();
  }
}

// A repair was cut off before its commit; the filesystem is used for longer than its headers are ahead; then it still is what
// the mounts made of it.
TEST(Repair, headers_of_a_repair_that_was_cut_off_never_count) {
  const std::optional<Images> images = damaged(closed(), "links_wrong", 1);
  ASSERT_TRUE(images);
  Image left;
  for (u64 request = 1; left.size() == 0; ++request) {
    runtime::SimCores cores({.cores = 1});
    device::SimDevice device(images->front(), {});
    (void)cores.run(0, [&] { return repair::repair_devices({&device}, {.dry_run = true}); });
    device::SimDevice cut(images->front(), {});
    cut.set_faults({.power_cut_at = device.counts().reads + request});
    (void)cores.run(0, [&] { return repair::repair_devices({&cut}, {}); });
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
  ASSERT_TRUE(names(check({left}), "links_wrong"));
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
  const TreeFound tree = tree_of(filesystem.crash_images_all_lost());
  EXPECT_TRUE(tree.names.contains("/made-later99"));
}

INSTANTIATE_TEST_SUITE_P(Repair, RepairOf, testing::Combine(testing::ValuesIn(layouts), testing::ValuesIn(classes())),
                         [](const auto& one) { return std::get<0>(one.param)->name + ("_" + std::get<1>(one.param)); });
INSTANTIATE_TEST_SUITE_P(Repair, RepairOn, testing::ValuesIn(layouts), [](const auto& one) { return one.param->name; });

}  // namespace
}  // namespace cowfs::sim
