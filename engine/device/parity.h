// Scrub of stripes: what was written in them, and whether their parity fits it.
#pragma once
#include "engine/device/scrub.h"

namespace cowfs::device {

// Stripes that hold any of some pieces, which ascend and lie in one bucket of stripes; nobody writes them.
struct StripedPieces {
  std::vector<ScrubPiece> pieces;
  ScrubPiece bucket;
};

// The offsets of those with a block that `check` refuses, with one that cannot be read, or with parity that does not fit.
runtime::Task<std::vector<u64>> suspect_stripes(Device& device, StripedPieces pieces, Device::CheckBlock check, BackgroundReader& reader,
                                                ScrubFindings& findings);

// Parity that does not fit is counted, overwritten and told of, where all blocks can be read and `check` refuses none. See
// Device::scrub_stripes for what it has to know.
runtime::Task<void> mend_parity(Device& device, StripedPieces pieces, Device::CheckBlock check, BackgroundReader& reader,
                                ScrubFindings& findings);

}  // namespace cowfs::device
