// Looking through all copies of what a filesystem has, whether anybody reads it or not. Whoever knows what it should be says
// where it lies, piece by piece; what is wrong is overwritten with a copy that is good.
#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <vector>

#include "engine/device/aligned_buffer.h"
#include "engine/device/copies.h"

namespace cowfs::device {

// How fast a scrub reads, and into what memory, which is used again. Any core.
class ScrubReader {
 public:
  // `bytes_per_second` of all copies together; 0: as fast as devices answer, and while the number of `requests_of_others` grows
  // slowly enough that they hardly notice. Asked on any core.
  ScrubReader(std::function<u64()> requests_of_others, u64 bytes_per_second);

  // Resumes when so many reads may be made.
  runtime::Task<void> before(u64 bytes);

  // At once.
  u64 run_bytes() const;
  static constexpr u64 run_bytes_max = 1 * mib;
  // Of run_bytes_max, with whatever was in it.
  AlignedBuffer take_buffer();
  void give_back(AlignedBuffer buffer);

 private:
  u64 rate(u64 now_ns);

  const std::function<u64()> requests_of_others_;
  const u64 bytes_per_second_;
  std::atomic<u64> next_ns_{0};
  std::atomic<u64> looked_ns_{0};
  std::atomic<u64> others_seen_{0};
  std::atomic<bool> is_busy_{false};
  std::vector<std::vector<AlignedBuffer>> spare_;  // by core
};

// A copy that is not what it should be, or cannot be read, by the device that has it.
struct BadPlace {
  u16 member = 0;
  u64 offset_bytes = 0;  // there
  Error error;
};

// One piece of which a copy was wrong.
struct ScrubDamage {
  const char* what = "";  // "data", "node", ...
  u64 offset_bytes = 0;
  u64 bytes = 0;
  u64 inode = 0;              // data: the file
  u64 file_offset_bytes = 0;  // and where in it
  std::vector<BadPlace> bad = {};
  bool lost = false;      // no copy is good
  bool repaired = false;  // all are good now
};

struct ScrubFindings {
  u64 bytes = 0;  // read, of all copies
  std::vector<ScrubDamage> damage = {};
};

struct ScrubPiece {
  u64 offset_bytes = 0;
  u64 bytes = 0;  // whole blocks
};

// The numbers of the pieces of which a copy cannot be read or is not what it should be: it may be under way to the medium.
// Neighbours are read at once, from all members side by side. `pieces` ascend, do not overlap and lie in one bucket.
using VerifyPiece = std::function<Status(std::size_t piece, ByteSpan bytes)>;
runtime::Task<std::vector<std::size_t>> suspects_among(Device& device, std::vector<ScrubPiece> pieces, VerifyPiece verify,
                                                       ScrubReader& reader, ScrubFindings& findings);

// Counts the copies of a piece that are wrong, and says where they lie. Not yet repaired.
ScrubDamage damage_of(Device& device, const char* what, ScrubPiece piece, const std::vector<BadCopy>& bad);

// Reads all copies of a piece that nobody writes meanwhile. Those that are wrong are counted and overwritten with a good one.
// Nothing: all are good.
runtime::Task<std::optional<ScrubDamage>> mend(Device& device, const char* what, ScrubPiece piece, Verify verify);

}  // namespace cowfs::device
