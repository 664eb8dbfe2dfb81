// Torture of the real thing: cowfs on an image under the dbench load with verification, killed with SIGKILL at random
// moments, mounted again, and compared with everything that it had promised.
//
// Processes. This one never touches the engine. A worker mounts the filesystem and runs the clients; before each operation
// a client counts in memory that it shares with this process, and that is all that has to survive: what the operation was
// and what it wrote follow from the loadfile, the client's number and the seed. A verifier replays each client up to its
// count against SurvivalModel and compares (survival_model.h has the rules). An fsync counts as answered when the client
// had begun the operation after it.
//
// A kill -9 is not a power cut: what the process had handed to the kernel arrives. Power cuts are engine/sim's.
#pragma once
#include <functional>
#include <string>

#include "harness/media.h"
#include "workloads/loadfile.h"

namespace cowbench::harness {

struct TortureRound;

struct TortureRequest {
  const workloads::Program* program = nullptr;  // outlives the run
  u32 rounds = 100;
  u64 seed = 1;  // of the first round; each next one's is one more
  u32 clients = 8;
  u32 kill_ms_max = 1500;  // after which a worker is killed at the latest
  MediaRequest media;      // an image
  // Looks at an unmounted device; the failure lists what is wrong. Runs in the verifier.
  std::function<Action(const std::string& device)> check;
  std::function<void(const TortureRound&)> progress;  // after each round
};

// A fresh filesystem and its lives: each ends with a kill, and the next begins on what that left.
struct TortureRound {
  u32 number = 0;  // from 1
  u64 seed = 0;
  std::string settings;  // "2 cores, 2 slices, cache 64 MiB, ..."
  u32 lives = 0;
  u32 recoveries_killed = 0;  // mounts that were killed, too
  u64 operations = 0;
  u64 fsyncs = 0;  // answered before a kill
  u64 files = 0;   // compared
  u64 bytes = 0;
};

// Ends at the first round that fails. Failures mismatch: something promised is not there, or check objects; the text says
// what, in which life of which seed; failed: a worker died by itself; interrupted.
Action run_torture(const TortureRequest& request, Ledger& ledger);

}  // namespace cowbench::harness
