// Scrub of a mounted filesystem: what Filesystem::scrub does, on any devices.
#pragma once
#include "engine/engine.h"
#include "engine/fs/filesystem_state.h"
#include "engine/pool/assemble.h"

namespace cowfs::admin {

// On core 0; both outlive it. Errors: as Filesystem::scrub.
Task<Result<ScrubReport>> scrub(fs::FilesystemState& state, pool::Assembled& assembled, ScrubOptions options);

}  // namespace cowfs::admin
