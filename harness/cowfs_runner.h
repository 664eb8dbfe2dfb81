// dbench clients as coroutines on the cores of a mounted cowfs.
#pragma once
#include "harness/cowfs_mount.h"

namespace cowbench::harness {

struct CowfsRunRequest : LoadRequest {
  bool system_call_charge = false;
};

// Failures: CowfsTargetMount::run()'s.
Outcome<RoundResult> run_on_cowfs(CowfsTargetMount& mount, const CowfsRunRequest& request);

// Enough for the files of so many dbench clients to stay in memory: 32 MiB each and 512 MiB.
u64 default_cache_bytes(u32 clients);

}  // namespace cowbench::harness
