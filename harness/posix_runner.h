// Runs dbench clients on a directory of a kernel filesystem: one process (or thread) for each client, as dbench does,
// but pinned, parsed in advance, and with a histogram for each operation.
//
// Phases: all clients ready (within 30 s), warm-up, measured window, stop, clean-up. The warm-up lasts t/5 whole seconds
// in addition to t, and goes on until every client has moved at least one byte, as in dbench 4.0; what it did is in no
// figure. Below 5 s there is next to none, and the start of the loadfile (in client.txt: 20 files of 1 MiB for each
// client) then counts in full: two runs compare only with the same t.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "harness/dbench_client.h"
#include "harness/outcome.h"
#include "harness/round_result.h"
#include "harness/topology.h"

namespace cowbench::harness {

enum class ClientMode {
  processes,  // as dbench: each has its own memory map and descriptors
  threads,    // one memory map; descriptors, record locks and working directory are still each client's own
};
std::string_view to_text(ClientMode mode);

struct RunProgress {
  enum class Phase { warmup, measure, cleanup };
  Phase phase;
  double elapsed_seconds;  // of this phase
  double total_seconds;    // of warm-up or measured window, as asked for
  double throughput_mb_s;  // cumulative, of this phase
  double ops_s;
};

struct RunRequest {
  const workloads::Program* program = nullptr;
  u32 clients = 1;
  double seconds = 60;
  std::optional<double> warmup_seconds;  // default: a fifth of `seconds`, rounded down
  ClientMode mode = ClientMode::processes;
  PinPlan pins;                          // empty: not pinned
  ClientOptions options;                 // `client` is set for each; `directory` is the target's
  std::optional<dev_t> device;           // counted over the measured window
  std::function<void(const RunProgress&)> progress;  // about once a second; may be empty
};
constexpr u32 clients_max = 4096;

// Failures: request: no clients, too many, no time; mismatch: a client met a result that dbench would have ended at
// (the text names client, line, operation, path, and what was expected); failed: a client could not be started or died;
// interrupted. In every case all clients are gone when it returns.
Outcome<RoundResult> run_on_directory(const RunRequest& request);

}  // namespace cowbench::harness
