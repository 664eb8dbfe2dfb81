// The real fio on the same files: the row that shows whether our own clients load a filesystem alike.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "harness/command.h"
#include "workloads/fio_job.h"

namespace cowbench::harness {

// One clone of a job, as fio is to run it: a job of its own.
struct StockFioClone {
  const workloads::FioJob* job = nullptr;
  u32 number = 0;
  std::vector<std::string> files;  // where they lie
  u64 base = 0;                    // where they begin, on a device
};

// The job as it was given, but for what the comparison decides: where the files lie, and the interface, which is ours.
Command stock_fio_command(const std::vector<StockFioClone>& clones, const std::vector<u32>& cpus, double seconds);

// Reads and writes of all jobs together, MB/s. Failure failed: that is not fio's JSON, or a job failed.
Outcome<double> parse_stock_fio_output(std::string_view output);

// Blocks for the whole run. Failures: missing: fio is not installed; failed: it ended with an error (quoted).
Outcome<double> run_stock_fio(const Command& command);

}  // namespace cowbench::harness
