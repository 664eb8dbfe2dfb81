// Scrub of the journal: all copies of the commit ring and of every entry that recovery would read.
#pragma once
#include "engine/device/scrub.h"
#include "engine/journal/journal.h"

namespace cowfs::journal {

// On core 0. Nothing is overwritten: commits go round the ring and replace what is damaged there. Damaged entries are left to
// the caller. Answers the newest epoch of one, after whose checkpoint none is needed any more; 0: none is damaged.
// Errors: of the journal.
Task<Result<Epoch>> scrub(device::Device& device, Journal& journal, device::BackgroundReader& reader, device::ScrubFindings& findings);

}  // namespace cowfs::journal
