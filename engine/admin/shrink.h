// Making the space of a filesystem smaller, while it is not mounted: it is opened as a mount does, and what lies in the part that goes
// moves to the front. The size itself is the caller's to write, when nothing lies there any more.
#pragma once
#include "engine/admin/members.h"
#include "engine/pool/assemble.h"

namespace cowfs::admin {

// Nothing is written. Errors: space_still_needed; as a mount.
runtime::Task<Status> check_fits(pool::Assembled* assembled, u64 bucket_count);

// From bucket `bucket_count` on nothing is used, and nothing that recovery might read names anything there. An error leaves the space as
// it was, perhaps with files elsewhere in it. Errors: as FilesystemState::vacate, as a mount. `progress` tells of buckets.
runtime::Task<Status> vacate_space(pool::Assembled* assembled, u64 bucket_count, ChunksDone progress);

}  // namespace cowfs::admin
