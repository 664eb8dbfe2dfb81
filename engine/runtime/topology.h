// Processors and memory nodes of this machine, as far as reactors need them.
#pragma once
#include <vector>

#include "engine/base/types.h"

namespace cowfs::runtime {

// The processors this process may run on, by the operating system's number; at least one.
std::vector<u32> allowed_processors();

// Pins the calling thread to `processor` and makes it prefer that processor's memory. False when the system refuses;
// the thread then runs unpinned, which is slower and still right.
bool bind_this_thread(u32 processor);

}  // namespace cowfs::runtime
