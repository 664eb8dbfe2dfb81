// Scrub of what says who belongs to a filesystem: all copies of the superblock and, of a pool, the map on every member.
#pragma once
#include "engine/device/scrub.h"
#include "engine/pool/assemble.h"

namespace cowfs::pool {

// On the core that flushes. What is wrong is written anew. Errors: of the devices.
Task<Status> scrub_superblocks(Assembled& assembled, device::ScrubFindings& findings);

}  // namespace cowfs::pool
