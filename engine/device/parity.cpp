#include "engine/device/parity.h"

#include <algorithm>

namespace cowfs::device {

namespace {

// Runs of whole stripes, of which the last of a bucket may be shorter.
std::vector<ScrubPiece> stripes_of(const StripedPieces& striped, u64 stripe_bytes) {
  const ScrubPiece& bucket = striped.bucket;
  std::vector<ScrubPiece> runs;
  for (const ScrubPiece& piece : striped.pieces) {
    const u64 first = bucket.offset_bytes + round_down(piece.offset_bytes - bucket.offset_bytes, stripe_bytes);
    const u64 behind = round_up(piece.offset_bytes + piece.bytes - bucket.offset_bytes, stripe_bytes);
    const u64 end = bucket.offset_bytes + std::min(behind, bucket.bytes);
    if (runs.empty() || first > runs.back().offset_bytes + runs.back().bytes) runs.push_back({first, 0});
    runs.back().bytes = end - runs.back().offset_bytes;
  }
  return runs;
}

class Look {
 public:
  Look(Device& device, Device::CheckBlock check, BackgroundReader& reader, ScrubFindings& findings)
      : device_(device), check_(std::move(check)), reader_(reader), findings_(findings) {}

  // Calls visit(const Device::StripesSeen&) for some stripes after the other.
  template <typename Visitor>
  runtime::Task<void> through(StripedPieces pieces, bool mend, Visitor visit) {
    const u64 stripe_bytes = device_.stripe_blocks() * block_bytes;
    const u64 parity_bytes = device_.parity_blocks() * block_bytes;
    for (const ScrubPiece& run : stripes_of(pieces, stripe_bytes)) {
      for (u64 done = 0; done < run.bytes;) {
        const u64 stripes = std::max<u64>(reader_.run_bytes() / (stripe_bytes + parity_bytes), 1);
        const u64 bytes = std::min(run.bytes - done, stripes * stripe_bytes);
        co_await reader_.before(bytes + bytes / stripe_bytes * parity_bytes);
        const Device::StripesSeen seen = co_await device_.scrub_stripes(run.offset_bytes + done, bytes, check_, mend);
        findings_.bytes += seen.bytes;
        visit(seen);
        done += bytes;
      }
    }
  }

 private:
  Device& device_;
  const Device::CheckBlock check_;
  BackgroundReader& reader_;
  ScrubFindings& findings_;
};

void tell(Device& device, const Device::StripesSeen& seen, ScrubFindings& findings) {
  const u64 stripe_bytes = device.stripe_blocks() * block_bytes;
  for (const Device::WrongParity& wrong : seen.wrong_parity) {
    DeviceCounters& counters = wrong.place.member->counters();
    counters.count_damaged_copy();
    if (seen.repaired) counters.count_repaired_copy();
    ScrubDamage damage{.what = "parity", .offset_bytes = wrong.stripe_offset_bytes, .bytes = stripe_bytes};
    damage.bad.push_back({wrong.place.member->index(), wrong.place.offset_bytes, wrong.error});
    damage.repaired = seen.repaired;
    findings.damage.push_back(std::move(damage));
  }
}

}  // namespace

runtime::Task<std::vector<u64>> suspect_stripes(Device& device, StripedPieces pieces, Device::CheckBlock check, BackgroundReader& reader,
                                                ScrubFindings& findings) {
  std::vector<u64> suspects;
  Look look(device, std::move(check), reader, findings);
  const auto visit = [&suspects](const Device::StripesSeen& seen) {
    suspects.insert(suspects.end(), seen.suspects.begin(), seen.suspects.end());
    for (const Device::WrongParity& wrong : seen.wrong_parity) suspects.push_back(wrong.stripe_offset_bytes);
  };
  co_await look.through(std::move(pieces), false, visit);
  co_return suspects;
}

runtime::Task<void> mend_parity(Device& device, StripedPieces pieces, Device::CheckBlock check, BackgroundReader& reader,
                                ScrubFindings& findings) {
  Look look(device, std::move(check), reader, findings);
  const auto visit = [&](const Device::StripesSeen& seen) { tell(device, seen, findings); };
  co_await look.through(std::move(pieces), true, visit);
}

}  // namespace cowfs::device
