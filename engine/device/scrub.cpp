// A run of neighbouring pieces is one read for each copy, so that a scrub of what lies together goes as fast as the devices
// read. The first look may be too early for what is being written: who calls decides when a second one counts.
#include "engine/device/scrub.h"

#include <algorithm>

#include "engine/runtime/sync.h"

namespace cowfs::device {

namespace {

constexpr u64 gap_bytes_max = 64 * kib;  // read along rather than left out
constexpr u64 verified_at_once_bytes = 64 * kib;

runtime::Task<void> read_into(Device& device, u64 offset_bytes, MutableByteSpan into, u8 copy, Status& status) {
  status = co_await read_copy(device, offset_bytes, into, copy);
}

class Run {
 public:
  Run(Device& device, std::span<const ScrubPiece> pieces, BackgroundReader& reader)
      : device_(device), pieces_(pieces), reader_(reader) {}
  ~Run() {
    for (Copy& one : read_) reader_.give_back(std::move(one.memory));
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  u64 offset_bytes() const { return pieces_.front().offset_bytes; }
  u64 bytes() const { return pieces_.back().offset_bytes + pieces_.back().bytes - offset_bytes(); }
  u64 copies_there() const {
    u64 count = 0;
    for (u8 copy = 1; copy <= device_.copies_at(offset_bytes()); ++copy) count += has(copy);
    return count;
  }

  bool has(u8 copy) const {
    return device_.is_striped(offset_bytes()) || device_.copy_place(offset_bytes(), copy).member != nullptr;
  }

  // Of all copies that are there.
  runtime::Task<void> read() {
    for (u8 copy = 1; copy <= device_.copies_at(offset_bytes()); ++copy)
      if (has(copy)) read_.push_back({copy, reader_.take_buffer(), {}});
    runtime::Gate gate;
    for (Copy& one : read_) gate.spawn(read_into(device_, offset_bytes(), one.memory.span().first(bytes()), one.number, one.status));
    co_await gate.drained();
  }

  bool is_fine(std::size_t piece, std::size_t number, const VerifyPiece& verify) const {
    const ScrubPiece& place = pieces_[piece];
    return std::all_of(read_.begin(), read_.end(), [&](const Copy& one) {
      return one.status && verify(number, one.memory.span().subspan(place.offset_bytes - offset_bytes(), place.bytes));
    });
  }

 private:
  struct Copy {
    u8 number = 0;
    AlignedBuffer memory;
    Status status;
  };
  Device& device_;
  std::span<const ScrubPiece> pieces_;
  BackgroundReader& reader_;
  std::vector<Copy> read_;
};

std::size_t end_of_run(const std::vector<ScrubPiece>& pieces, std::size_t first, u64 bytes_max) {
  std::size_t end = first + 1;
  for (; end < pieces.size(); ++end) {
    const u64 before = pieces[end - 1].offset_bytes + pieces[end - 1].bytes;
    const u64 behind = pieces[end].offset_bytes + pieces[end].bytes;
    if (pieces[end].offset_bytes - before > gap_bytes_max || behind - pieces[first].offset_bytes > bytes_max) break;
  }
  return end;
}

}  // namespace

ScrubDamage damage_of(Device& device, const char* what, ScrubPiece piece, const std::vector<BadCopy>& bad) {
  count_damaged_copies(device, piece.offset_bytes, bad);
  ScrubDamage damage{.what = what, .offset_bytes = piece.offset_bytes, .bytes = piece.bytes};
  for (const BadCopy& one : bad) {
    const Device::CopyPlace place = device.copy_place(piece.offset_bytes, one.copy);
    if (place.member != nullptr) damage.bad.push_back({place.member->index(), place.offset_bytes, one.error});
  }
  return damage;
}

runtime::Task<std::vector<std::size_t>> suspects_among(Device& device, std::vector<ScrubPiece> pieces, VerifyPiece verify,
                                                       BackgroundReader& reader, ScrubFindings& findings) {
  std::vector<std::size_t> suspects;
  u64 verified_bytes = 0;
  for (std::size_t first = 0; first < pieces.size();) {
    const std::size_t end = end_of_run(pieces, first, reader.run_bytes());
    Run run(device, std::span(pieces).subspan(first, end - first), reader);
    const u64 copies = run.copies_there();
    co_await reader.before(run.bytes() * copies);
    co_await run.read();
    findings.bytes += run.bytes() * copies;
    for (std::size_t number = first; number < end; ++number) {
      if (!run.is_fine(number - first, number, verify)) suspects.push_back(number);
      verified_bytes += pieces[number].bytes * copies;
      if (verified_bytes >= verified_at_once_bytes) {
        verified_bytes = 0;
        co_await runtime::yield();
      }
    }
    first = end;
  }
  co_return suspects;
}

runtime::Task<std::optional<ScrubDamage>> mend(Device& device, const char* what, ScrubPiece piece, Verify verify) {
  AlignedBuffer good(piece.bytes);
  Looked looked = co_await look_through(device, piece.offset_bytes, good.span(), std::move(verify));
  if (looked.bad.empty()) co_return std::nullopt;
  ScrubDamage damage = damage_of(device, what, piece, looked.bad);
  damage.lost = looked.good == 0;
  if (!damage.lost) damage.repaired = co_await overwrite_copies(device, piece.offset_bytes, good.span(), std::move(looked.bad));
  co_return damage;
}

}  // namespace cowfs::device
