// What tests of repair share, as their header says.
#include "engine/sim/repair_test_internal.h"

namespace cowfs::sim {

TreeFound tree_of(const Images& images, bool degraded) {
  SimulatedFilesystem filesystem(images, {.cores = 2, .degraded = degraded});
  TreeFound found;
  const Status mounted = filesystem.mount();
  EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  if (!mounted) return found;
  fs::Operations* operations = &filesystem.operations();
  TreeFound* into = &found;
  filesystem.run(0, [operations, into] { return walk_tree(operations, into); });
  return found;
}

Sound sound_of(Images images) {
  TreeFound tree = tree_of(images);
  EXPECT_TRUE(tree.problems.empty());
  return {std::move(images), std::move(tree)};
}

namespace {

const Sound& made_once(std::map<std::string, Sound>& made, const Layout& layout, Sound (*make)(const Layout&)) {
  const auto known = made.find(layout.name);
  return known != made.end() ? known->second : made.emplace(layout.name, make(layout)).first->second;
}

Sound make_crashed(const Layout& layout) {
  ScenarioSettings settings{.seed = 11, .clients = 2};
  if (layout.devices > 1) settings.format.device_bytes = 96 * mib;  // copies leave less of each
  settings.format.devices = layout.devices;
  settings.format.replicas = layout.replicas;
  settings.format.erasure = layout.erasure;
  Scenario scenario(settings);
  scenario.mount({.seed = 1});
  scenario.run_clients(300);
  scenario.close();
  scenario.mount({.seed = 2});
  scenario.run_clients(60);
  fs::Operations* operations = &scenario.filesystem().operations();
  EXPECT_TRUE(scenario.filesystem().run(0, [operations] { return operations->sync(); }).ok());
  scenario.abandon();
  return sound_of(scenario.filesystem().crash_images_all_lost());
}

Task<void> make_file(fs::Operations* operations, std::string path, u64 offset, u64 bytes) {
  const Result<FileHandle> handle = co_await operations->open(path, O_RDWR | O_CREAT, 0644);
  EXPECT_TRUE(handle.ok());
  std::vector<std::byte> data(bytes);
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<std::byte>(path.size() + offset + i * 7 + i / 4096);
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
      co_await make_file(operations, path, i % 7 == 0 ? 5 * block_bytes : 0,
                         i % 3 == 0 ? 100 + i : i % 4 * 5000 + 2000);
      if (i % 10 != 0) continue;
      EXPECT_TRUE((co_await operations->set_xattr(path, "user.note", std::as_bytes(std::span(value)))).ok());
    }
    for (u64 piece = 0; piece < 8; ++piece)
      co_await make_file(operations, top + "/regions", piece * 150'000, 20'000 + piece * 1000);
  }
  EXPECT_TRUE((co_await operations->sync()).ok());
}

Sound make_closed(const Layout& layout) {
  SimulatedFilesystem filesystem(crashed(layout).images, {.cores = 2});
  EXPECT_TRUE(filesystem.mount().ok());
  fs::Operations* operations = &filesystem.operations();
  for (runtime::CoreIndex core = 0; core < 2; ++core) {
    fs::CoreState* state = &filesystem.state().core(core);
    if (core == 0) filesystem.run(0, [operations] { return fill(operations); });
    EXPECT_TRUE(filesystem.run(core, [state] { return state->checkpoint_all(); }).ok());
  }
  EXPECT_TRUE(filesystem.close().ok());
  return sound_of(filesystem.images());
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

// A checkpoint holds what has no name any more.
Sound make_with_orphan(const Layout& layout) {
  SimulatedFilesystem filesystem(closed(layout).images, {.cores = 1});
  EXPECT_TRUE(filesystem.mount().ok());
  fs::Operations* operations = &filesystem.operations();
  const FileHandle open = filesystem.run(0, [operations] { return leave_orphan(operations); });
  fs::CoreState* core = &filesystem.state().core(0);
  EXPECT_TRUE(filesystem.run(0, [core] { return core->checkpoint_all(); }).ok());
  Images left = filesystem.crash_images_all_lost();
  EXPECT_TRUE(filesystem.run(0, [operations, open] { return operations->close(open); }).ok());
  filesystem.abandon();
  return sound_of(std::move(left));
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

// Repair of these puts everything back.
const std::set<std::string> nothing_lost{
    "superblock_copy_damaged", "commit_block_damaged", "slice_header_damaged", "space_list_damaged", "node_misplaced",
    "metadata_count_wrong",    "recovery_refused",     "lease_invalid",        "bucket_not_leased",  "blocks_wrong",
    "backpointer_missing",     "backpointer_wrong",    "alloc_wrong",          "inode_misplaced",    "orphan_missing",
    "name_type_wrong",         "links_wrong",          "directory_size_wrong", "parent_wrong",       "accounting_wrong",
    "extent_misplaced",        "slice_header_missing"};

}  // namespace

const Sound& crashed(const Layout& layout) {
  static std::map<std::string, Sound> made;
  return made_once(made, layout, make_crashed);
}

const Sound& closed(const Layout& layout) {
  static std::map<std::string, Sound> made;
  return made_once(made, layout, make_closed);
}

const Sound& with_orphan(const Layout& layout) {
  static std::map<std::string, Sound> made;
  return made_once(made, layout, make_with_orphan);
}

const Sound& sound_for(const std::string& finding_class, const Layout& layout) {
  if (finding_class == "journal_damaged") return crashed(layout);
  return finding_class == "orphan_needless" ? with_orphan(layout) : closed(layout);
}

Bench::Bench(const Images& images) : cores_({.cores = 1}) {
  for (const Image& image : images) {
    std::unique_ptr<device::SimDevice>& device = devices_.emplace_back();
    if (image.size() > 0) device = std::make_unique<device::SimDevice>(image, device::SimDeviceSettings{});
  }
}

std::vector<device::Device*> Bench::devices() const {
  std::vector<device::Device*> all;
  for (const auto& device : devices_)
    if (device != nullptr) all.push_back(device.get());
  return all;
}

Images Bench::images() const {
  Images images;
  for (const auto& device : devices_) images.push_back(device != nullptr ? device->image() : Image{});
  return images;
}

u64 Bench::writes() const {
  u64 writes = 0;
  for (const device::Device* device : devices()) writes += device->counts().writes;
  return writes;
}

void Bench::share_power() {
  for (const auto& device : devices_) {
    device->set_power_observer([this] {
      for (const auto& other : devices_)
        if (!other->power_is_cut()) other->power_cut();
    });
  }
}

Result<RepairReport> Bench::repair(const RepairOptions& options) {
  return cores_.run(0, [&] { return repair::repair_devices(devices(), options); });
}

namespace {

Task<Result<admin::CheckReport>> check_devices(std::vector<device::Device*> devices) {
  const pool::AssembleOptions how{.degraded = true, .read_only = true};
  const Result<pool::Assembled> assembled = co_await pool::assemble(std::move(devices), how);
  if (!assembled) co_return assembled.error();
  co_return co_await admin::check_assembled(*assembled, admin::CheckOptions{});
}

}  // namespace

Result<admin::CheckReport> Bench::check() {
  return cores_.run(0, [this] { return check_devices(devices()); });
}

Result<repair::Planted> Bench::corrupt(const repair::CorruptOptions& options) {
  const repair::RunTask run = [this](std::function<Task<void>()> task) { cores_.run(0, std::move(task)); };
  return repair::corrupt_devices(devices(), run, options);
}

admin::CheckReport check(const Images& images) {
  const auto report = Bench(images).check();
  EXPECT_TRUE(report.ok()) << to_text(report.error());
  return report ? *report : admin::CheckReport{};
}

std::string text(const admin::CheckReport& report) {
  std::string lines;
  for (const admin::Finding& one : report.findings)
    lines +=
        one.name + " slice " + one.slice + " " + one.tree + " " + one.where + " " + one.path + ": " + one.what + "\n";
  return lines;
}

std::string text(const RepairReport& report) {
  std::string lines = report.refused + "\n";
  for (const repair::Repair& one : report.repairs) lines += one.finding_class + ": " + one.what + "\n";
  return lines;
}

Repaired repair_images(const Images& images, const RepairOptions& options) {
  Bench bench(images);
  auto report = bench.repair(options);
  EXPECT_TRUE(report.ok()) << to_text(report.error());
  return {report ? *report : RepairReport{}, bench.images(), bench.writes()};
}

bool names(const admin::CheckReport& report, const std::string& finding_class) {
  for (const admin::Finding& one : report.findings)
    if (one.name == finding_class) return true;
  return false;
}

std::optional<Images> damaged(const Sound& sound, const std::string& finding_class, u64 seed) {
  Bench bench(sound.images);
  const Result<repair::Planted> planted = bench.corrupt({.finding_class = finding_class, .seed = seed * 1000});
  EXPECT_TRUE(planted.ok()) << to_text(planted.error());
  if (!planted || planted->what.empty()) return std::nullopt;
  std::printf("%-24s %s\n", finding_class.c_str(), planted->what.c_str());
  return bench.images();
}

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

void expect_repaired(const Sound& sound, const Images& images, const std::string& finding_class) {
  const RepairOptions options{.cut_journal = finding_class == "journal_damaged"};
  RepairOptions dry = options;
  dry.dry_run = true;
  const Repaired planned = repair_images(images, dry);
  EXPECT_EQ(planned.writes, 0u);
  EXPECT_TRUE(planned.images == images);
  EXPECT_FALSE(planned.report.written);

  const Repaired repaired = repair_images(images, options);
  SCOPED_TRACE(text(repaired.report.before) + text(repaired.report));
  EXPECT_EQ(text(planned.report), text(repaired.report));
  const bool isolated = finding_class == "data_checksum_wrong";
  EXPECT_EQ(repaired.report.written, !isolated);
  const admin::CheckReport after = check(repaired.images);
  EXPECT_TRUE(after.clean() || isolated) << text(after);
  const Repaired again = repair_images(repaired.images, options);
  EXPECT_EQ(again.writes, 0u);

  const TreeFound tree = tree_of(repaired.images);
  if (finding_class == "journal_damaged") {
    EXPECT_TRUE(tree.problems.empty()) << tree.problems.front();
  } else if (nothing_lost.contains(finding_class)) {
    expect_rest(sound.tree, tree, {});
  } else {
    expect_rest(sound.tree, tree, touched_by(repaired.report));
  }
}

}  // namespace cowfs::sim
