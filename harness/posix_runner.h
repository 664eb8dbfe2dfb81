// Runs dbench clients on a directory of a kernel filesystem: one process (or thread) for each client, as dbench does,
// but pinned, parsed in advance, and with a histogram for each operation. round_phases.h has the rules of a round.
#pragma once
#include "harness/kernel_clients.h"

namespace cowbench::harness {

struct RunRequest : LoadRequest {
  ClientMode mode = ClientMode::processes;
};

// Failures: check()'s, and run_phases()'s. In every case all clients are gone when it returns.
Outcome<RoundResult> run_on_directory(const RunRequest& request);

// The same without a filesystem (null_target.h): what generating the load costs.
Outcome<RoundResult> run_on_nothing(const RunRequest& request);

}  // namespace cowbench::harness
