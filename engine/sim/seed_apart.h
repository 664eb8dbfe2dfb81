// A seed in a process of its own, so that an assertion that fails is a problem like any other, with the operations that led
// to it.
#pragma once
#include "engine/sim/seed_run.h"

namespace cowfs::sim {

// As run_seed(), but without points, and without configuration and trace when the process was ended. `options.watch` is not used.
SeedResult run_seed_apart(const SeedOptions& options);

// Leaves out operations as long as something is still wrong, for so many runs at most, each in a process of its own.
Script shorten(const SeedOptions& options, Script script, u64 runs_max);

}  // namespace cowfs::sim
