// The real dbench 4.0 on the same directory: the row that shows whether our own generator loads a filesystem alike.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/command.h"
#include "harness/outcome.h"

namespace cowbench::harness {

struct StockOperation {
  std::string name;  // as dbench's table spells it
  u64 count = 0;
  double latency_ms_mean = 0;
  double latency_ms_max = 0;
};

struct StockResult {
  double throughput_mb_s = 0;
  double ops_s = 0;             // from the table: all operations over the time limit
  u32 clients = 0;
  u32 processes = 0;
  double latency_ms_max = 0;    // dbench's own: counts stalls, too
  bool sync_open = false;
  bool sync_directories = false;
  std::vector<StockOperation> operations;
};

struct StockRequest {
  std::string directory;
  std::string loadfile = "/usr/share/dbench/client.txt";
  u32 clients = 1;
  u32 seconds = 60;  // dbench adds its warm-up of a fifth by itself
  std::vector<u32> cpus;  // where its clients may run, as ours; empty: anywhere
  bool sync_open = false;          // -s
  bool sync_directories = false;   // -S
  bool sync_writes = false;        // -F
  bool extended_attributes = false;  // -x
};

Command stock_command(const StockRequest& request);

// Blocks for the whole run; the process group dies with this process. Failures: missing: dbench is not installed;
// failed: it ended with an error (quoted) or printed no result.
Outcome<StockResult> run_stock_dbench(const StockRequest& request);

// `seconds`: the time limit it ran with. Failure failed: there is no Throughput line.
Outcome<StockResult> parse_stock_output(std::string_view output, u32 seconds);

}  // namespace cowbench::harness
