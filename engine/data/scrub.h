// Scrub of the data in one bucket: all copies of every live block, against the checksums that its extents have at the time.
#pragma once
#include "engine/data/copygc.h"
#include "engine/device/scrub.h"

namespace cowfs::data {

// On the slice's core. A bucket that holds no data any more is done, and one of which a node is lost: the scrub of the checkpoint
// tells of that. Errors: of the journal.
Task<Status> scrub_bucket(SliceData& home, CopyGc& copygc, format::BucketId bucket, device::BackgroundReader& reader,
                          device::ScrubFindings& findings);

}  // namespace cowfs::data
