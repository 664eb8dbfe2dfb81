#pragma once
#include <string>
#include <string_view>

#include "engine/base/types.h"

namespace cowbench::results {

// "1 run", "2 runs"; a series is its own plural.
std::string counted(cowfs::u64 count, std::string_view what);

}  // namespace cowbench::results
