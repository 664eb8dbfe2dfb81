// Everything that can be done with an image of which nothing is known: whatever it holds, this ends, and reads and writes
// nothing that is not its own. What the operations answer does not matter.
#pragma once
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {

// Mounts it, reads every name and every byte (of large files the beginning), changes every file and name, unmounts and
// checks. Returns whether it could be mounted.
bool use_image(const Image& image, const MountSettings& settings);

}  // namespace cowfs::sim
