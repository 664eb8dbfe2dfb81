#include "engine/repair/mend_copies_internal.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/admin/scrub.h"
#include "engine/device/scrub.h"
#include "engine/format/journal.h"
#include "engine/fs/filesystem_state.h"

namespace cowfs::repair {

using runtime::Task;

namespace {

fs::FilesystemSettings quiet_settings() {
  fs::FilesystemSettings settings;
  settings.core.cache_bytes = 16 * mib;
  settings.core.populate_cache = false;
  return settings;
}

ScrubOptions scrub_options(std::function<void(const admin::CheckProgress&)> progress) {
  ScrubOptions options;
  options.from_start = true;
  if (progress)
    options.progress = [progress = std::move(progress)](const ScrubProgress& now) {
      progress({"copies, bytes", now.bytes_done, now.bytes_total});
      return true;
    };
  return options;
}

std::string text(const ScrubFinding& finding) {
  std::string copies;
  for (const auto& copy : finding.copies)
    copies +=
        fmt::format("{}member {} at {}: {}", copies.empty() ? "" : "; ", copy.device, copy.offset_bytes, copy.error);
  return fmt::format("{} in bucket {} is good again on all devices ({})", finding.what, finding.bucket, copies);
}

// What lies in places that a mount writes anyhow: slice headers and commit blocks, or nothing yet.
class FixedPlaces {
 public:
  FixedPlaces(pool::Assembled& assembled, std::vector<Repair>& repairs)
      : device_(*assembled.device), superblock_(assembled.superblock), repairs_(repairs) {}

  Task<void> mend() {
    const u64 filesystem = format::filesystem_id(superblock_);
    constexpr u64 slot_bytes = format::commit_slot_blocks * block_bytes;
    for (u64 slot = 0; slot < format::commit_slots; ++slot) {
      const auto check = [filesystem](ByteSpan raw) {
        const Status valid = format::validate_commit(raw, filesystem);
        const bool is_foreign = !valid && valid.error().code == Code::commit_block_identity_mismatch;
        return is_foreign ? Status{} : valid;
      };
      const device::ScrubPiece piece{superblock_.commit_ring_block * block_bytes + slot * slot_bytes, slot_bytes};
      co_await mend("commit block", piece, check);
    }
    for (u64 place = 0; place < superblock_.slices * 2ull; ++place) {
      const auto check = [filesystem, place](ByteSpan raw) {
        format::SliceHeader header;
        std::memcpy(&header, raw.data(), sizeof header);
        return format::validate_slice_header(header, filesystem, static_cast<u16>(place / 2));
      };
      const device::ScrubPiece piece{(superblock_.slice_headers_block + place) * block_bytes, block_bytes};
      co_await mend("slice header", piece, check);
    }
  }

 private:
  Task<void> mend(const char* what, device::ScrubPiece piece, device::Verify check) {
    const device::Verify check_used = [check = std::move(check)](ByteSpan raw) {
      const bool is_blank = std::all_of(raw.begin(), raw.end(), [](std::byte byte) { return byte == std::byte{0}; });
      return is_blank ? Status{} : check(raw);
    };
    const std::optional<device::ScrubDamage> damage = co_await device::mend(device_, what, piece, check_used);
    if (!damage || !damage->repaired) co_return;
    ScrubFinding finding;
    finding.what = what;
    finding.bucket = piece.offset_bytes / (superblock_.bucket_blocks * block_bytes);
    for (const device::BadPlace& bad : damage->bad)
      finding.copies.push_back({bad.member, bad.offset_bytes, to_text(bad.error)});
    repairs_.push_back({"copy_damaged", text(finding)});
  }

  device::Device& device_;
  const format::Superblock& superblock_;
  std::vector<Repair>& repairs_;
};

u64 damaged_copies(const device::Device* member) { return member != nullptr ? member->counts().damaged_copies : 0; }

// What recovery read has been overwritten before the scrub could see it.
void tell_healed(pool::Assembled& assembled, const std::vector<u64>& before, std::vector<Repair>& repairs) {
  const std::vector<device::Device*> members = assembled.device->members();
  for (std::size_t number = 0; number < members.size(); ++number) {
    const u64 healed = damaged_copies(members[number]) - before[number];
    if (healed == 0) continue;
    repairs.push_back(
        {"copy_damaged", fmt::format("{} of what recovery reads is good again on member {}", healed, number)});
  }
}

}  // namespace

Task<Status> mend_copies(pool::Assembled& assembled, std::function<void(const admin::CheckProgress&)> progress,
                         std::vector<Repair>& repairs) {
  FixedPlaces places(assembled, repairs);
  co_await places.mend();
  fs::FilesystemState state(assembled.superblock, {assembled.device}, 1, quiet_settings());
  std::vector<u64> before;
  for (const device::Device* member : assembled.device->members()) before.push_back(damaged_copies(member));
  const Status opened = co_await state.open();
  if (!opened) {
    co_await state.abandon();
    co_return opened;
  }
  tell_healed(assembled, before, repairs);
  const Result<ScrubReport> report = co_await admin::scrub(state, assembled, scrub_options(std::move(progress)));
  const Status closed = co_await state.close();
  if (!report) co_return report.error();
  for (const ScrubFinding& finding : report->findings)
    if (finding.repaired) repairs.push_back({"copy_damaged", text(finding), finding.inode});
  co_return closed;
}

}  // namespace cowfs::repair
