// Copies, and parity, that nobody has read: looked through by a scrub.
#pragma once
#include <functional>
#include <vector>

#include "engine/pool/assemble.h"
#include "engine/repair/repair.h"

namespace cowfs::repair {

// Mounts the filesystem, of which check finds nothing that has to be repaired, scrubs it and unmounts it. What was overwritten with a good
// copy is told in `repairs`; what has none, check names. Errors: of recovery; of the scrub; of the devices.
runtime::Task<Status> mend_copies(pool::Assembled& assembled, std::function<void(const admin::CheckProgress&)> progress,
                                  std::vector<Repair>& repairs);

}  // namespace cowfs::repair
