// What dbench 4.0 prints, read.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::exchange {

using cowfs::u32;
using cowfs::u64;

struct DbenchOperation {
  std::string name;  // as dbench's table spells it
  u64 count = 0;
  double latency_ms_mean = 0;
  double latency_ms_max = 0;
};

struct DbenchOutput {
  double throughput_mb_s = 0;
  double ops_s = 0;             // from the table: all operations over the time limit
  u32 clients = 0;
  u32 processes = 0;
  double latency_ms_max = 0;    // dbench's own: counts stalls, too
  bool sync_open = false;
  bool sync_directories = false;
  std::vector<DbenchOperation> operations;
};

// `seconds`: the time limit it ran with. Absent: there is no Throughput line.
std::optional<DbenchOutput> parse_dbench_output(std::string_view output, u64 seconds);

}  // namespace cowbench::exchange
