// The plan is what the findings ask for, and there are only four things that it can ask for:
//
//   superblocks   a copy is damaged: all are written again
//   ring          a place of the commit ring is damaged: it is cleared, once a newer block is durable
//   headers       a place of a slice header is damaged and the other is in force: an older twin of that one goes there
//   rebuild       everything else, but for
//   nothing       data that do not match their checksums: there is no second copy, and reading them is an error already
//
// What is written, in this order, with a flush behind each: superblocks; nodes, to buckets that nobody uses; slice headers,
// which do not count yet; the commit block; cleared places of the ring.
#include "engine/repair/repair.h"

#include <algorithm>
#include <set>

#include "engine/admin/check_device.h"
#include "engine/admin/device_session.h"
#include "engine/admin/read_only_device.h"
#include "engine/device/overlay_device.h"
#include "engine/journal/layout.h"
#include "engine/repair/mend_internal.h"
#include "engine/repair/rebuild_internal.h"
#include "engine/runtime/reactor.h"

namespace cowfs::repair {

using admin::CheckReport;
using admin::Finding;
using device::AlignedBuffer;
using device::OverlayDevice;
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
  Repairer(device::Device& device, const Superblock& superblock, RepairOptions options)
      : device_(device), view_(device), superblock_(superblock), options_(std::move(options)) {}

  Task<Status> run();
  RepairReport report;

 private:
  Task<Result<CheckReport>> check(device::Device& device) const;
  Task<Status> carry_out(Plan plan);
  Task<Status> mend_and_rebuild();
  Task<Status> put_in_place(const Rebuilt& rebuilt, u32 session);
  Task<Status> write_twins();
  Task<Status> clear_ring();
  Task<Status> write();
  Task<Status> write_blocks(u64 first_block, u64 end_block);
  absl::flat_hash_set<u64> buckets_in_use(const Salvaged& salvaged) const;
  std::string reason(const Error& error) const;
  void tell_computed();
  void tell(std::string finding_class, std::string what) {
    report.repairs.push_back({std::move(finding_class), std::move(what)});
  }

  device::Device& device_;
  OverlayDevice view_;
  Superblock superblock_;
  const RepairOptions options_;
  bool write_superblocks_ = false;
  u64 commit_block_ = 0;  // that puts what was rebuilt in force
};

Task<Result<CheckReport>> Repairer::check(device::Device& device) const {
  admin::CheckOptions options;
  options.data = options_.data;
  options.progress = options_.progress;
  co_return co_await admin::check_device(device, options);
}

Task<Status> Repairer::run() {
  Result<CheckReport> before = co_await check(device_);
  if (!before) co_return before.error();
  report.before = report.after = std::move(*before);
  const Plan plan = plan_of(report.before);
  if (plan.empty()) co_return Status{};
  if (const Status done = co_await carry_out(plan); !done) {
    report.refused = reason(done.error());
    co_return Status{};
  }
  Result<CheckReport> after = co_await check(view_);
  if (!after) co_return after.error();
  report.after = std::move(*after);
  if (!plan_of(report.after).empty()) {
    const Finding& left = report.after.findings.front();
    report.refused = "the repaired filesystem would not be clean, so nothing was written: " + left.name + " " + left.where +
                     ": " + left.what;
    co_return Status{};
  }
  if (options_.dry_run) co_return Status{};
  const Status written = co_await write();
  report.written = written.ok();
  co_return written;
}

std::string Repairer::reason(const Error& error) const {
  std::string text = to_text(error);
  if (error.code == Code::space_no_buckets)
    return text + "; there is no room to write the repaired trees beside the damaged ones: copy the image to a larger device";
  if (!options_.cut_journal)
    return text + "; --cut-journal goes on with what the journal holds before the damage, and says which epochs that loses";
  return text;
}

Task<Status> Repairer::carry_out(Plan plan) {
  Status done;
  if (plan.superblocks) tell("superblock_copy_damaged", "the copies are written anew");
  write_superblocks_ = plan.superblocks;
  if (plan.rebuild) done = co_await mend_and_rebuild();
  if (done && plan.headers && !plan.rebuild) done = co_await write_twins();
  if (done && plan.ring && !plan.rebuild) done = co_await clear_ring();
  if (!done || !write_superblocks_) co_return done;
  superblock_.sequence = superblock_.sequence + 1;
  co_return co_await pool::write_superblocks(view_, superblock_);
}

Task<Status> Repairer::mend_and_rebuild() {
  Result<Salvaged> salvaged = co_await salvage(device_, superblock_, options_.cut_journal, report.repairs);
  if (!salvaged) co_return salvaged.error();
  const absl::flat_hash_set<u64> in_use = buckets_in_use(*salvaged);
  NameMender names(superblock_, *salvaged, runtime::this_reactor().wall_clock_ns(), report.repairs);
  names.run();
  ExtentMender extents(device_, superblock_, *salvaged, report.repairs);
  co_await extents.run();
  if (extents.left_lost_ranges() && (superblock_.features_required & format::feature_lost_extents) == 0) {
    superblock_.features_required = superblock_.features_required | format::feature_lost_extents;
    write_superblocks_ = true;
  }
  const Result<Rebuilt> rebuilt = co_await rebuild(view_, superblock_, *salvaged, in_use);
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
      buckets.insert(format::bucket_of(list, superblock_.bucket_blocks).value);
    }
    for (const auto& [key, value] : slice.tree(TreeId::alloc)) buckets.insert(key.inode);
    for (const auto& [key, value] : slice.tree(TreeId::backpointers)) buckets.insert(key.inode);
    for (const auto& [key, value] : slice.tree(TreeId::extents)) {
      const format::Extent extent = format::decode_extent(value);
      if (extent.kind == format::ExtentKind::data)
        buckets.insert(format::bucket_of(extent.address, superblock_.bucket_blocks).value);
    }
  }
  return buckets;
}

Task<Status> Repairer::put_in_place(const Rebuilt& rebuilt, u32 session) {
  AlignedBuffer raw(block_bytes);
  for (const format::SliceHeader& header : rebuilt.headers) {
    std::memcpy(raw.data(), &header, sizeof header);
    const u64 block = superblock_.slice_headers_block + header.slice * 2ull + header.sequence % 2;
    device::IoAwaiter writing = view_.write(block * block_bytes, raw.span());
    if (const Status written = co_await writing; !written) co_return written;
  }
  commit_block_ = superblock_.commit_ring_block + rebuilt.epoch % format::commit_slots * format::commit_slot_blocks;
  journal::CommitRing ring(view_, journal::JournalLayout::of(superblock_));
  const journal::Commit commit{
      .epoch = {rebuilt.epoch}, .oldest_needed = {rebuilt.epoch + 1}, .session = session, .previous = {}, .tails = {}};
  Status done = co_await clear_ring();
  if (done) done = co_await ring.write(commit, false);
  if (done) done = co_await write_twins();
  co_return done;
}

// Where one place of a slice header is damaged, an older twin of the other.
Task<Status> Repairer::write_twins() {
  AlignedBuffer raw(block_bytes);
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    const admin::SliceHeaderFound found = co_await admin::read_slice_header(view_, superblock_, slice);
    if (found.damaged.empty() || !found.newest) continue;
    format::SliceHeader twin = *found.newest;
    twin.sequence = twin.sequence - 1;
    format::seal_slice_header(twin);
    std::memcpy(raw.data(), &twin, sizeof twin);
    const u64 block = superblock_.slice_headers_block + slice * 2ull + twin.sequence % 2;
    device::IoAwaiter writing = view_.write(block * block_bytes, raw.span());
    if (const Status written = co_await writing; !written) co_return written;
    tell("slice_header_damaged", "slice " + std::to_string(slice) + ": the damaged place holds a twin of the header in force");
  }
  co_return Status{};
}

// Places of the commit ring that hold something else than a commit block hold nothing from now on.
Task<Status> Repairer::clear_ring() {
  AlignedBuffer raw(commit_slot_bytes);
  const AlignedBuffer zeros(commit_slot_bytes);
  for (u64 slot = 0; slot < format::commit_slots; ++slot) {
    const u64 offset = superblock_.commit_ring_block * block_bytes + slot * commit_slot_bytes;
    device::IoAwaiter reading = view_.read(offset, raw.span());
    const Status read = co_await reading;
    const bool valid = format::validate_commit(raw.span(), format::filesystem_id(superblock_)).ok();
    if (read && (valid || std::memcmp(raw.data(), zeros.data(), commit_slot_bytes) == 0)) continue;
    device::IoAwaiter writing = view_.write(offset, zeros.span());
    if (const Status written = co_await writing; !written) co_return written;
    tell("commit_block_damaged", "place " + std::to_string(slot) + " of the commit ring is cleared");
  }
  co_return Status{};
}

Task<Status> Repairer::write() {
  Status done;
  if (write_superblocks_) done = co_await pool::write_superblocks(device_, superblock_);
  const u64 bucket_blocks = superblock_.bucket_blocks;
  const u64 headers = superblock_.slice_headers_block;
  const u64 ring = superblock_.commit_ring_block;
  if (done) done = co_await write_blocks(superblock_.first_data_bucket * bucket_blocks, superblock_.bucket_count * bucket_blocks);
  if (done) done = co_await write_blocks(headers, headers + superblock_.slices * 2ull);
  if (done) done = co_await write_blocks(commit_block_, commit_block_ + format::commit_slot_blocks);
  if (done) done = co_await write_blocks(ring, ring + format::commit_slots * format::commit_slot_blocks);
  co_return done;
}

Task<Status> Repairer::write_blocks(u64 first_block, u64 end_block) {
  const Status written = co_await view_.write_out(first_block, end_block);
  if (!written) co_return written;
  device::IoAwaiter flush = device_.flush();
  co_return co_await flush;
}

}  // namespace

Task<Result<RepairReport>> repair_device(device::Device& device, RepairOptions options) {
  const Result<pool::SuperblockFound> found = co_await pool::read_superblock(device);
  if (!found) co_return found.error();
  if (format::is_of_pool(found->superblock)) co_return Error{Code::pool_repair_unsupported, found->superblock.device_count};
  Repairer repairer(device, found->superblock, std::move(options));
  const Status done = co_await repairer.run();
  if (!done) co_return done.error();
  co_return std::move(repairer.report);
}

Result<RepairReport> repair(const std::string& path, const RepairOptions& options) {
  const device::OpenMode mode = options.dry_run ? device::OpenMode::read_only : device::OpenMode::read_write;
  const auto session = admin::DeviceSession::open(path, mode);
  if (!session) return session.error();
  device::Device* device = (*session)->devices().front();
  return (*session)->run([device, &options] { return repair_device(*device, options); });
}

}  // namespace cowfs::repair
