// Scrub of a slice's checkpoint in force: all copies of its header, of the list of its metadata buckets and of every node.
#pragma once
#include "engine/device/scrub.h"
#include "engine/slice/slice.h"

namespace cowfs::slice {

// On the slice's core. Checkpoints may come while it runs: what they wrote since it began is not looked at. A header of which
// a copy is wrong is replaced by a checkpoint. Errors: of a checkpoint.
Task<Status> scrub_checkpoint(Slice& slice, device::BackgroundReader& reader, device::ScrubFindings& findings);

}  // namespace cowfs::slice
