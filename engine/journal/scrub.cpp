// While the journal is written, a place in the ring may be half-written, and a bucket used again. What looks wrong is looked at
// again after a commit, and counts when it is still there and still needed.
#include "engine/journal/scrub.h"

#include <algorithm>

namespace cowfs::journal {

namespace {

constexpr u64 slot_bytes = format::commit_slot_blocks * block_bytes;
constexpr u64 slots_being_written_max = 8;  // behind the newest: soon replaced anyhow

class JournalScrub {
 public:
  JournalScrub(device::Device& device, Journal& journal, device::BackgroundReader& reader, device::ScrubFindings& findings)
      : device_(device), journal_(journal), reader_(reader), findings_(findings) {}

  Task<Result<Epoch>> run() {
    for (u64 slot = 0; slot < format::commit_slots; ++slot) {
      const Status done = co_await scrub_slot(slot);
      if (!done.ok()) co_return done.error();
    }
    const Epoch durable = journal_.durable();
    CommitRing ring(device_, journal_.layout());
    const std::vector<Commit> commits = co_await ring.read_valid();
    const auto newest = std::find_if(commits.begin(), commits.end(), [&](const Commit& one) { return one.epoch <= durable; });
    if (newest == commits.end()) co_return damaged_up_to_;
    for (const format::EntryPointer& tail : newest->tails) co_await scrub_chain(tail);
    co_return damaged_up_to_;
  }

 private:
  Task<Status> commit() {
    Stream& stream = journal_.stream(0);
    co_return co_await stream.commit(stream.current());
  }

  u64 slot_offset(u64 slot) const { return journal_.layout().commit_ring_block * block_bytes + slot * slot_bytes; }

  bool is_being_written(u64 slot) const {
    const u64 behind = (slot + format::commit_slots - journal_.durable().value % format::commit_slots) % format::commit_slots;
    return behind > 0 && behind <= slots_being_written_max;
  }

  // Copies that hold a damaged block of this filesystem, or an older one than another copy.
  Task<std::vector<device::BadCopy>> bad_copies(u64 slot) {
    u64 newest = 0;
    const auto check = [this, slot, &newest](ByteSpan raw) -> Status {
      format::CommitBlock block;
      std::memcpy(&block, raw.data(), sizeof block);
      const Status valid = format::validate_commit(raw, journal_.layout().filesystem);
      if (valid.ok() && block.epoch % format::commit_slots == slot) newest = std::max<u64>(newest, block.epoch);
      const bool is_ours = block.magic == format::commit_magic || block.filesystem == journal_.layout().filesystem;
      if (!valid.ok() && valid.error().code != Code::commit_block_identity_mismatch && (is_ours || newest > 0)) return valid;
      if (newest == 0 || (valid.ok() && block.epoch == newest)) return Status{};
      return Error{Code::journal_commit_damaged, newest};
    };
    device::AlignedBuffer raw(slot_bytes);
    (void)co_await device::look_through(device_, slot_offset(slot), raw.span(), check);  // finds the newest
    device::Looked looked = co_await device::look_through(device_, slot_offset(slot), raw.span(), check);
    findings_.bytes += slot_bytes * device_.copies();
    co_return std::move(looked.bad);
  }

  Task<Status> scrub_slot(u64 slot) {
    std::vector<device::BadCopy> bad = co_await bad_copies(slot);
    if (bad.empty() || is_being_written(slot)) co_return Status{};
    Status committed = co_await commit();
    if (!committed.ok() || is_being_written(slot)) co_return committed;
    bad = co_await bad_copies(slot);
    if (bad.empty() || is_being_written(slot)) co_return Status{};
    device::ScrubDamage damage = device::damage_of(device_, "commit block", {slot_offset(slot), slot_bytes}, bad);
    for (u64 written = 0; written < format::commit_slots && !bad.empty(); ++written) {
      committed = co_await commit();
      if (!committed.ok()) co_return committed;
      if (journal_.durable().value % format::commit_slots == slot) bad = co_await bad_copies(slot);
    }
    damage.repaired = bad.empty();
    findings_.damage.push_back(std::move(damage));
    co_return Status{};
  }

  bool is_needed(const format::EntryPointer& pointer) const {
    return pointer.address != 0 && pointer.epoch >= journal_.oldest_needed().value;
  }

  // Backwards, as entries name each other.
  Task<void> scrub_chain(format::EntryPointer pointer) {
    while (is_needed(pointer)) {
      const u64 offset = format::Address{pointer.address}.offset_bytes();
      const device::ScrubPiece piece{offset, round_up(pointer.bytes, block_bytes)};
      format::EntryPointer previous{};
      const auto check = [this, pointer, &previous](ByteSpan raw) {
        const Status valid = format::validate_entry(raw.first(pointer.bytes), journal_.layout().filesystem, pointer);
        if (!valid.ok()) return valid;
        format::EntryHeader header;
        std::memcpy(&header, raw.data(), sizeof header);
        previous = header.previous;
        return valid;
      };
      const auto check_piece = [&check](std::size_t, ByteSpan raw) { return check(raw); };
      std::vector<device::ScrubPiece> pieces(1, piece);
      const std::vector<std::size_t> suspects =
          co_await device::suspects_among(device_, std::move(pieces), check_piece, reader_, findings_);
      if (!suspects.empty()) {
        device::AlignedBuffer raw(piece.bytes);
        const device::Looked looked = co_await device::look_through(device_, offset, raw.span(), check);
        if (!is_needed(pointer)) co_return;
        note_damage(pointer, piece, looked);
        if (looked.good == 0) co_return;
      }
      pointer = previous;
    }
  }

  void note_damage(const format::EntryPointer& pointer, const device::ScrubPiece& piece, const device::Looked& looked) {
    if (looked.bad.empty()) return;
    device::ScrubDamage damage = device::damage_of(device_, "journal entry", piece, looked.bad);
    damage.repaired = true;  // by the checkpoint that the caller makes
    findings_.damage.push_back(std::move(damage));
    damaged_up_to_ = std::max(damaged_up_to_, Epoch{pointer.epoch});
  }

  device::Device& device_;
  Journal& journal_;
  device::BackgroundReader& reader_;
  device::ScrubFindings& findings_;
  Epoch damaged_up_to_{};
};

}  // namespace

Task<Result<Epoch>> scrub(device::Device& device, Journal& journal, device::BackgroundReader& reader, device::ScrubFindings& findings) {
  JournalScrub scrub(device, journal, reader, findings);
  co_return co_await scrub.run();
}

}  // namespace cowfs::journal
