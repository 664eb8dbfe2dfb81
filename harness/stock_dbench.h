// The real dbench 4.0 on the same directory: the row that shows whether our own generator loads a filesystem alike.
#pragma once
#include <string>
#include <vector>

#include "harness/command.h"
#include "harness/outcome.h"
#include "results/exchange/dbench_output.h"

namespace cowbench::harness {

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
Outcome<exchange::DbenchOutput> run_stock_dbench(const StockRequest& request);

}  // namespace cowbench::harness
