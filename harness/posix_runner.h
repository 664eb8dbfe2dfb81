// Runs dbench clients on a directory of a kernel filesystem: one process (or thread) for each client, as dbench does,
// but pinned, parsed in advance, and with a histogram for each operation. round_phases.h has the rules of a round.
#pragma once
#include <string_view>

#include "harness/round_phases.h"

namespace cowbench::harness {

enum class ClientMode {
  processes,  // as dbench: each has its own memory map and descriptors
  threads,    // one memory map; descriptors, record locks and working directory are still each client's own
};
std::string_view to_text(ClientMode mode);

struct RunRequest : LoadRequest {
  ClientMode mode = ClientMode::processes;
};

// Failures: check()'s, and run_phases()'s. In every case all clients are gone when it returns.
Outcome<RoundResult> run_on_directory(const RunRequest& request);

// The same without a filesystem (null_target.h): what generating the load costs.
Outcome<RoundResult> run_on_nothing(const RunRequest& request);

}  // namespace cowbench::harness
