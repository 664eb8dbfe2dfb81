// The plan is what the findings ask for, and there are only four things that it can ask for:
//
//   superblocks   a copy is damaged, or a map of the devices: all are written again
//   ring          a place of the commit ring is damaged: it is cleared, once a newer block is durable
//   headers       a place of a slice header is damaged and the other is in force: an older twin of that one goes there
//   rebuild       everything else, but for
//   nothing       data that do not match their checksums: no copy is good, and reading them is an error already
//
// What is written, in this order, with a flush behind each: superblocks; nodes, to buckets that nobody uses; slice headers,
// which do not count yet; the commit block; cleared places of the ring; and what a mount and a scrub of all copies write.
#include "engine/repair/repair.h"

#include <algorithm>
#include <set>

#include "engine/admin/check_device.h"
#include "engine/admin/device_session.h"
#include "engine/admin/read_only_device.h"
#include "engine/device/copies.h"
#include "engine/device/overlay_device.h"
#include "engine/journal/layout.h"
#include "engine/pool/assemble.h"
#include "engine/repair/mend_copies_internal.h"
#include "engine/repair/mend_internal.h"
#include "engine/repair/rebuild_internal.h"
#include "engine/runtime/reactor.h"

namespace cowfs::repair {

using admin::CheckReport;
using admin::Finding;
using device::AlignedBuffer;
using format::Superblock;

namespace {

constexpr u64 commit_slot_bytes = format::commit_slot_blocks * block_bytes;

struct Plan {
  bool superblocks = false;
  bool ring = false;
  bool headers = false;
  bool rebuild = false;
  bool empty() const { return !superblocks && !ring && !headers && !rebuild; }
};

bool is_isolated(const Finding& finding) {
  return finding.name == "data_checksum_wrong" || finding.name == "data_unreadable";
}

Plan plan_of(const CheckReport& report) {
  Plan plan;
  for (const Finding& finding : report.findings) {
    if (finding.name == "superblock_copy_damaged")
      plan.superblocks = true;
    else if (finding.name == "commit_block_damaged")
      plan.ring = true;
    else if (finding.name == "slice_header_damaged")
      plan.headers = true;
    else if (!is_isolated(finding))
      plan.rebuild = true;
  }
  return plan;
}

class Repairer {
 public:
  Repairer(std::vector<device::Device*> devices, RepairOptions options)
      : overlay_(std::move(devices)), options_(std::move(options)) {}

  Task<Status> run();
  RepairReport report;

 private:
  Task<Result<pool::Assembled>> assemble(bool read_only) const;
  Task<Result<CheckReport>> check(bool* has_copies) const;
  Task<Status> repair(Plan plan, bool look_at_copies);
  Task<Status> carry_out(Plan plan);
  Task<Status> mend_and_rebuild();
  Task<Status> put_in_place(const Rebuilt& rebuilt, u32 session);
  Task<Status> write_twins();
  Task<Status> clear_ring();
  Task<Status> clear_in_ring(u64 slot);
  Task<Status> write_superblocks();
  absl::flat_hash_set<u64> buckets_in_use(const Salvaged& salvaged) const;
  std::string reason(const Error& error) const;
  void tell_computed();
  void tell(std::string finding_class, std::string what) {
    report.repairs.push_back({std::move(finding_class), std::move(what)});
  }
  device::Device& device() { return *view_.device; }
  Superblock& superblock() { return view_.superblock; }
  const Superblock& superblock() const { return view_.superblock; }

  device::OverlayDevices overlay_;
  pool::Assembled view_;  // over it
  const RepairOptions options_;
};

Task<Result<pool::Assembled>> Repairer::assemble(bool read_only) const {
  const pool::AssembleOptions how{.degraded = options_.degraded, .read_only = read_only};
  co_return co_await pool::assemble(overlay_.devices(), how);
}

Task<Result<CheckReport>> Repairer::check(bool* has_copies) const {
  const Result<pool::Assembled> assembled = co_await assemble(true);
  if (!assembled) co_return assembled.error();
  *has_copies = assembled->device->copies() > 1;
  admin::CheckOptions options;
  options.data = options_.data;
  options.progress = options_.progress;
  co_return co_await admin::check_assembled(*assembled, std::move(options));
}

Task<Status> Repairer::run() {
  bool has_copies = false;
  Result<CheckReport> before = co_await check(&has_copies);
  if (!before) co_return before.error();
  report.before = report.after = std::move(*before);
  const Plan plan = plan_of(report.before);
  const bool look_at_copies = has_copies && options_.data;
  if (plan.empty() && !look_at_copies) co_return Status{};
  Result<pool::Assembled> assembled = co_await assemble(false);
  if (!assembled) co_return assembled.error();
  view_ = std::move(*assembled);
  if (const Status done = co_await repair(plan, look_at_copies); !done) report.refused = reason(done.error());
  const bool is_repaired = report.refused.empty() && !report.repairs.empty();
  if (!is_repaired || options_.dry_run) co_return Status{};
  const Status written = co_await overlay_.write_out();
  report.written = written.ok();
  co_return written;
}

// In memory.
Task<Status> Repairer::repair(Plan plan, bool look_at_copies) {
  if (!plan.empty()) {
    const Status done = co_await carry_out(plan);
    if (!done) co_return done;
    bool has_copies = false;
    Result<CheckReport> after = co_await check(&has_copies);
    if (!after) co_return after.error();
    report.after = std::move(*after);
    if (!plan_of(report.after).empty()) {
      const Finding& left = report.after.findings.front();
      report.refused = "the repaired filesystem would not be clean, so nothing was written: " + left.name + " " +
                       left.where + ": " + left.what;
      co_return Status{};
    }
  }
  if (!look_at_copies) co_return Status{};
  co_return co_await mend_copies(view_, options_.progress, report.repairs);
}

std::string Repairer::reason(const Error& error) const {
  std::string text = to_text(error);
  if (error.code == Code::space_no_buckets)
    return text + "; there is no room to write the repaired trees beside the damaged ones: copy the image to a larger device";
  const bool is_journal = std::any_of(report.before.findings.begin(), report.before.findings.end(),
                                      [](const Finding& finding) { return finding.name == "journal_damaged"; });
  if (is_journal && !options_.cut_journal)
    return text + "; --cut-journal goes on with what the journal holds before the damage, and says which epochs that loses";
  return text;
}

Task<Status> Repairer::carry_out(Plan plan) {
  Status done;
  if (plan.superblocks) {
    tell("superblock_copy_damaged", "the copies are written anew");
    done = co_await write_superblocks();
  }
  if (done && plan.rebuild) done = co_await mend_and_rebuild();
  if (done && plan.headers && !plan.rebuild) done = co_await write_twins();
  if (done && plan.ring && !plan.rebuild) done = co_await clear_ring();
  if (done) done = co_await device().flush();
  co_return done;
}

Task<Status> Repairer::write_superblocks() {
  superblock().sequence = superblock().sequence + 1;
  if (view_.pool) co_return co_await view_.pool->change_superblock(superblock());
  const Status written = co_await pool::write_superblocks(device(), superblock());
  if (!written) co_return written;
  co_return co_await device().flush();
}

Task<Status> Repairer::mend_and_rebuild() {
  Result<Salvaged> salvaged = co_await salvage(device(), superblock(), options_.cut_journal, report.repairs);
  if (!salvaged) co_return salvaged.error();
  const absl::flat_hash_set<u64> in_use = buckets_in_use(*salvaged);
  NameMender names(superblock(), *salvaged, runtime::this_reactor().wall_clock_ns(), report.repairs);
  names.run();
  ExtentMender extents(device(), superblock(), *salvaged, report.repairs);
  co_await extents.run();
  if (extents.left_lost_ranges() && (superblock().features_required & format::feature_lost_extents) == 0) {
    superblock().features_required = superblock().features_required | format::feature_lost_extents;
    const Status told = co_await write_superblocks();
    if (!told) co_return told;
  }
  const Result<Rebuilt> rebuilt = co_await rebuild(device(), superblock(), *salvaged, in_use);
  if (!rebuilt) co_return rebuilt.error();
  tell_computed();
  co_return co_await put_in_place(*rebuilt, salvaged->session + 1);
}

// What is not told yet followed from something else, or is derived.
void Repairer::tell_computed() {
  std::set<std::string> classes;
  for (const Finding& finding : report.before.findings)
    if (!is_isolated(finding)) classes.insert(finding.name);
  for (const Repair& repair : report.repairs) classes.erase(repair.finding_class);
  for (const std::string& name : classes) tell(name, "computed anew");
}

// What must not be overwritten before the commit: whatever what is in force now may name.
absl::flat_hash_set<u64> Repairer::buckets_in_use(const Salvaged& salvaged) const {
  absl::flat_hash_set<u64> buckets = salvaged.metadata_buckets;
  for (const SliceSalvaged& slice : salvaged.slices) {
    if (slice.header && slice.header->space_list_address != 0) {
      const format::Address list{slice.header->space_list_address};
      buckets.insert(format::bucket_of(list, superblock().bucket_blocks).value);
    }
    for (const auto& [key, value] : slice.tree(TreeId::alloc)) buckets.insert(key.inode);
    for (const auto& [key, value] : slice.tree(TreeId::backpointers)) buckets.insert(key.inode);
    for (const auto& [key, value] : slice.tree(TreeId::extents)) {
      const format::Extent extent = format::decode_extent(value);
      if (extent.kind == format::ExtentKind::data)
        buckets.insert(format::bucket_of(extent.address, superblock().bucket_blocks).value);
    }
  }
  return buckets;
}

Task<Status> Repairer::put_in_place(const Rebuilt& rebuilt, u32 session) {
  Status done = co_await device().flush();
  AlignedBuffer raw(block_bytes);
  for (const format::SliceHeader& header : rebuilt.headers) {
    if (!done) co_return done;
    std::memcpy(raw.data(), &header, sizeof header);
    const u64 block = superblock().slice_headers_block + header.slice * 2ull + header.sequence % 2;
    done = co_await device().write(block * block_bytes, raw.span());
  }
  if (done) done = co_await write_twins();
  if (done) done = co_await device().flush();
  if (!done) co_return done;
  journal::CommitRing ring(device(), journal::JournalLayout::of(superblock()));
  const journal::Commit commit{
      .epoch = {rebuilt.epoch}, .oldest_needed = {rebuilt.epoch + 1}, .session = session, .previous = {}, .tails = {}};
  done = co_await clear_in_ring(rebuilt.epoch % format::commit_slots);
  if (done) done = co_await ring.write(commit, false);
  if (done) done = co_await device().flush();
  if (done) done = co_await clear_ring();
  co_return done;
}

// Where one place of a slice header is damaged, an older twin of the other.
Task<Status> Repairer::write_twins() {
  AlignedBuffer raw(block_bytes);
  for (u16 slice = 0; slice < superblock().slices; ++slice) {
    const admin::SliceHeaderFound found = co_await admin::read_slice_header(device(), superblock(), slice);
    if (found.damaged.empty() || !found.newest) continue;
    format::SliceHeader twin = *found.newest;
    twin.sequence = twin.sequence - 1;
    format::seal_slice_header(twin);
    std::memcpy(raw.data(), &twin, sizeof twin);
    const u64 block = superblock().slice_headers_block + slice * 2ull + twin.sequence % 2;
    const Status written = co_await device().write(block * block_bytes, raw.span());
    if (!written) co_return written;
    tell("slice_header_damaged", "slice " + std::to_string(slice) + ": the damaged place holds a twin of the header in force");
  }
  co_return Status{};
}

Task<Status> Repairer::clear_ring() {
  Status done;
  for (u64 slot = 0; slot < format::commit_slots && done; ++slot) done = co_await clear_in_ring(slot);
  co_return done;
}

// A place of the commit ring that holds something else than a commit block, in all copies, holds nothing from now on.
Task<Status> Repairer::clear_in_ring(u64 slot) {
  AlignedBuffer raw(commit_slot_bytes);
  const AlignedBuffer zeros(commit_slot_bytes);
  const auto check = [&zeros, filesystem = format::filesystem_id(superblock())](ByteSpan place) -> Status {
    if (std::memcmp(place.data(), zeros.data(), commit_slot_bytes) == 0) return {};
    return format::validate_commit(place, filesystem);
  };
  const u64 offset = superblock().commit_ring_block * block_bytes + slot * commit_slot_bytes;
  const device::Looked looked = co_await device::look_through(device(), offset, raw.span(), check);
  if (looked.good != 0) co_return Status{};
  const Status written = co_await device().write(offset, zeros.span());
  if (written) tell("commit_block_damaged", "place " + std::to_string(slot) + " of the commit ring is cleared");
  co_return written;
}

}  // namespace

Task<Result<RepairReport>> repair_devices(std::vector<device::Device*> devices, RepairOptions options) {
  Repairer repairer(std::move(devices), std::move(options));
  const Status done = co_await repairer.run();
  if (!done) co_return done.error();
  co_return std::move(repairer.report);
}

Result<RepairReport> repair(const admin::DeviceNames& devices, const RepairOptions& options) {
  const device::OpenMode mode = options.dry_run ? device::OpenMode::read_only : device::OpenMode::read_write;
  const auto session = admin::DeviceSession::open(devices, mode);
  if (!session) return session.error();
  return (*session)->run([opened = (*session)->devices(), &options] { return repair_devices(opened, options); });
}

}  // namespace cowfs::repair
