// The order is that of a mount: superblocks, commit ring, journal, slice headers and trees as they lie on the medium; then
// recovery in memory, the same code as a mount's, and everything that the recovered trees say of each other. What is damaged
// below is found in the first part and named there; the second part skips what it cannot read and says so.
//
// Memory: 64 bytes for each inode, a bit for each block in use of one slice at a time.
#include <fmt/format.h>

#include "engine/admin/check_device.h"
#include "engine/admin/check_internal.h"

namespace cowfs::admin {

using format::TreeId;

namespace {

constexpr u64 progress_interval_ns = 200'000'000;
constexpr std::size_t items_per_batch = 256;

std::string_view name_of(FindingClass what_class) {
  switch (what_class) {
#define COWFS_FINDING(name, meaning) \
  case FindingClass::name:           \
    return #name;
#include "engine/admin/finding_classes.inc"
#undef COWFS_FINDING
  }
  return {};
}

// Recovery meets some findings before check can.
std::optional<FindingClass> class_of(Code refused) {
  switch (refused) {
    case Code::lease_entry_invalid:
      return FindingClass::lease_invalid;
    case Code::alloc_bucket_not_leased:
      return FindingClass::bucket_not_leased;
    case Code::slice_header_inode_given:
      return FindingClass::inode_misplaced;
    case Code::root_missing:
      return FindingClass::root_missing;
    default:
      return std::nullopt;
  }
}

}  // namespace

Checker::Checker(device::Device& device, const pool::SuperblockFound& superblock, const CheckOptions& options)
    : device_(device), found_(superblock), superblock_(superblock.superblock), options_(options), medium_(device) {}

void Checker::found(FindingClass what_class, At at, std::string what) {
  ++report.findings_total;
  if (report.findings.size() == CheckReport::findings_max) return;
  Finding finding;
  finding.name = name_of(what_class);
  if (at.slice) finding.slice = std::to_string(*at.slice);
  if (at.tree) finding.tree = format::name(*at.tree);
  finding.where = std::move(at.where);
  finding.inode = at.inode;
  finding.what = std::move(what);
  report.findings.push_back(std::move(finding));
}

void Checker::found(FindingClass what_class, const Error& error, std::string where) {
  At at;
  if (error.place.slice != Place::nowhere) at.slice = static_cast<u16>(error.place.slice);
  if (error.place.tree < format::tree_count) at.tree = static_cast<TreeId>(error.place.tree);
  at.where = std::move(where);
  found(what_class, std::move(at), to_text(error));
}

void Checker::phase(std::string name, u64 total) {
  progress_ = {std::move(name), 0, total};
  progress_told_ns_ = 0;
  advance(0);
}

void Checker::advance(u64 done) {
  progress_.done += done;
  if (!options_.progress) return;
  const u64 now = runtime::this_reactor().now_ns();
  if (progress_told_ns_ != 0 && now < progress_told_ns_ + progress_interval_ns) return;
  progress_told_ns_ = now;
  options_.progress(progress_);
}

bool Checker::any_incomplete(TreeId tree) const {
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    if (incomplete(slice, tree)) return true;
  }
  return false;
}

Task<std::vector<Item>> Checker::next_items(u16 slice, TreeId tree, format::Key* from) {
  std::vector<Item> items;
  if (incomplete(slice, tree)) co_return items;
  slice::Slice& home = recovered_->slice(slice);
  btree::NodesHeld held;  // `from` may lie behind the last key of one leaf, and what follows in the next
  while (true) {
    btree::Cursor at = home.tree(tree).seek(*from);
    for (; at.valid() && items.size() < items_per_batch; at.next()) {
      const ByteSpan value = at.value();
      items.push_back({at.key(), {value.begin(), value.end()}});
    }
    if (!items.empty()) {
      if (items.back().key == format::key_max) {
        *from = format::key_max;
      } else {
        *from = btree::successor(items.back().key);
      }
      co_return items;
    }
    if (at.state() != btree::Cursor::State::missing) co_return items;
    const Status loaded = co_await home.load({tree, at.missing()}, held);
    if (loaded) continue;
    incomplete_.insert(static_cast<u32>(slice) << 8 | static_cast<u32>(tree));
    found(FindingClass::tree_unreadable, loaded.error());
    co_return items;
  }
}

Task<std::optional<std::vector<std::byte>>> Checker::get(u16 slice, TreeId tree, format::Key key) {
  slice::Slice& home = recovered_->slice(slice);
  auto value = co_await home.get(tree, key);
  if (value) co_return std::move(*value);
  if (incomplete_.insert(static_cast<u32>(slice) << 8 | static_cast<u32>(tree)).second) {
    found(FindingClass::tree_unreadable, value.error());
  }
  co_return std::nullopt;
}

Task<void> Checker::run() {
  for (const std::string& note : found_.notes) {
    found(FindingClass::superblock_copy_damaged, At{}, note);
  }
  co_await check_commit_ring();
  co_await check_journal();
  phase("nodes on the medium", superblock_.slices);
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    co_await check_slice_on_medium(slice);
    advance(1);
  }
  phase("recovery in memory", 0);
  recovered_ = std::make_unique<RecoveredState>(device_, superblock_);
  const Status opened = co_await recovered_->open();
  if (opened) {
    co_await check_recovered();
  } else {
    found(FindingClass::recovery_refused, opened.error());
    if (const auto what_class = class_of(opened.error().code)) found(*what_class, opened.error());
    report.notes.push_back("what is checked after recovery was not: names, pointers, accounting, data");
  }
  co_await recovered_->close();
  recovered_.reset();
}

Task<void> Checker::check_recovered() {
  co_await check_leases();
  phase("inodes", superblock_.slices);
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    co_await check_inodes(slice);
    co_await check_orphans(slice);
    co_await check_xattrs(slice);
    advance(1);
  }
  phase("names", superblock_.slices);
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    co_await check_names(slice);
    advance(1);
  }
  if (names_known()) check_links();
  u64 blocks = 0;
  for (u16 slice = 0; slice < superblock_.slices; ++slice) blocks += recovered_->slice(slice).buckets().live_blocks();
  phase(options_.data ? "extents and data, blocks" : "extents, blocks", blocks);
  for (u16 slice = 0; slice < superblock_.slices; ++slice) co_await check_slice(slice);
  co_await find_paths();
}

std::vector<FindingClassShown> finding_classes() {
  return {
#define COWFS_FINDING(name, meaning) {#name, meaning},
#include "engine/admin/finding_classes.inc"
#undef COWFS_FINDING
  };
}

Task<Result<CheckReport>> check_device(device::Device& device, CheckOptions options) {
  Result<pool::SuperblockFound> found = co_await pool::read_superblock(device);
  if (!found) co_return found.error();
  if (format::is_of_pool(found->superblock)) co_return Error{Code::superblock_devices_missing, found->superblock.device_count};
  Checker checker(device, *found, options);
  co_await checker.run();
  co_return std::move(checker.report);
}

Task<Result<CheckReport>> check_assembled(const pool::Assembled& assembled, CheckOptions options) {
  const pool::SuperblockFound found{assembled.superblock, assembled.damaged_copies};
  Checker checker(*assembled.device, found, options);
  co_await checker.run();
  checker.report.notes.insert(checker.report.notes.begin(), assembled.absent.begin(), assembled.absent.end());
  co_return std::move(checker.report);
}

Result<CheckReport> check(const DeviceNames& devices, const CheckOptions& options) {
  const auto opened = ReadOnlyDevice::open(devices);
  if (!opened) return opened.error();
  const pool::Assembled* assembled = &(*opened)->assembled();
  return (*opened)->run([assembled, &options] { return check_assembled(*assembled, options); });
}

}  // namespace cowfs::admin
