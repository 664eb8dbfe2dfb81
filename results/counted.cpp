#include "results/counted.h"

#include <fmt/format.h>

namespace cowbench::results {

std::string counted(cowfs::u64 count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 || what.ends_with("series") ? "" : "s");
}

}  // namespace cowbench::results
