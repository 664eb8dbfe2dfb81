// What fixed loads ask of the device. The simulator makes them the same on every machine, so that any difference between two
// builds is the engine's.
#pragma once
#include <string>
#include <vector>

#include "engine/base/types.h"

namespace cowfs::sim {

struct Cost {
  std::string name;  // "files_device_flushes"
  double value = 0;
};

// Two loads, each on a filesystem of its own, synced at the end:
//   files       clients that make, write, flush, read and remove small files
//   overwrites  lanes that overwrite single blocks of one file with O_DIRECT
// Of each: device_writes, device_flushes, device_write_bytes, write_amplification (those bytes for each byte of the load), and
// submissions: how often a core handed requests over, all that it had when it ran out of other work. A real core makes a
// system call for each, and others to sleep and to wake.
std::vector<Cost> costs();

}  // namespace cowfs::sim
