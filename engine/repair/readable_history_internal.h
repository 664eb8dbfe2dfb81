// History as far as a damaged journal can be read.
#pragma once
#include "engine/journal/recovery.h"
#include "engine/repair/repair.h"

namespace cowfs::repair {

// What was committed before the first entry that is missing; what that loses is told in `repairs`. `next` is later than any
// epoch that the journal speaks of. What cannot be read
// counts as damaged.
runtime::Task<journal::History> readable_history(device::Device& device, const format::Superblock& superblock,
                                                 std::vector<Repair>& repairs);

}  // namespace cowfs::repair
