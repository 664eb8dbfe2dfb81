// Sizes as people type and read them: "512M", "8GiB", "4096".
#pragma once
#include <string>
#include <string_view>

#include "engine/base/types.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u64;

// A whole number with K, M, G or T behind it, each 1024 times the one before; "KB" and "KiB" mean the same as "K", in
// either case. Failures request: anything else, or more than 64 bits hold.
Outcome<u64> parse_size(std::string_view text);

// "1 GiB", "1.50 GiB", "640 bytes".
std::string size_text(u64 bytes);

}  // namespace cowbench::harness
