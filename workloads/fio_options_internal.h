// The table of fio's options.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "workloads/fio_job.h"

namespace cowbench::workloads {

// A job while its settings are read.
struct FioDraft {
  FioJob job;
  u64 kilo = 1024;
  bool depth_counts = false;  // an asynchronous engine
  u32 requested_depth = 1;
  bool seed_given = false;
  bool repeat = true;
  u64 seed = 0;
};

// Why the value is none; empty when it was taken.
using FioApply = std::string (*)(FioDraft& draft, std::string_view value);

struct FioOption {
  std::string_view name;
  FioApply apply = nullptr;
  std::string_view moot = {};     // without apply: why it has no effect here
  std::string_view refused = {};  // without both: why it is not supported
};

std::span<const FioOption> fio_options();
const FioOption* find_fio_option(std::string_view name);
// The known name with the fewest edits; empty when none is near.
std::string_view closest_fio_option(std::string_view name);

}  // namespace cowbench::workloads
