// What check finds, as lines for people.
#pragma once
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {

// On the devices of a filesystem with one core that is not mounted; or why check cannot look.
std::vector<std::string> findings_in(SimulatedFilesystem& filesystem);
std::vector<std::string> findings_in(const Images& images);
std::vector<std::string> findings_in(const Image& image);
// After an unmount, also what it left unfinished: files without names, truncations.
std::vector<std::string> findings_after_unmount(const Images& images);

}  // namespace cowfs::sim
