// Looking through all copies of what a filesystem has, whether anybody reads it or not. Whoever knows what it should be says
// where it lies, piece by piece; what is wrong is overwritten with a copy that is good.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "engine/device/background_reader.h"
#include "engine/device/copies.h"

namespace cowfs::device {

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
                                                       BackgroundReader& reader, ScrubFindings& findings);

// Counts the copies of a piece that are wrong, and says where they lie. Not yet repaired.
ScrubDamage damage_of(Device& device, const char* what, ScrubPiece piece, const std::vector<BadCopy>& bad);

// Reads all copies of a piece that nobody writes meanwhile. Those that are wrong are counted and overwritten with a good one.
// Nothing: all are good.
runtime::Task<std::optional<ScrubDamage>> mend(Device& device, const char* what, ScrubPiece piece, Verify verify);

}  // namespace cowfs::device
