// What one round of a workload on one target measured, whoever ran it.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "harness/device_truth.h"
#include "results/histogram.h"
#include "results/record.h"
#include "workloads/loadfile.h"

namespace cowbench::harness {

// Of one workload: what it measures the latency of, by its own numbers.
constexpr size_t latency_kinds_max = workloads::op_kind_count;

// What the engine behind a target counts of itself, since its mount or over some time.
struct EngineProgress {
  u64 commits = 0, checkpoints = 0;
  u64 device_write_bytes = 0, device_read_bytes = 0;
};
EngineProgress operator-(const EngineProgress& now, const EngineProgress& before);

struct SecondSample {
  double seconds = 0;           // since the start of the clients, at the end of the interval
  bool warmup = false;
  double throughput_mb_s = 0;   // of this interval alone
  double ops_s = 0;
  double cumulative_mb_s = 0;   // since the end of the warm-up; what dbench prints each second
  results::LatencyBuckets latency{};  // of all operations that ended in it
  std::optional<EngineProgress> engine;
};

// When the rule of a load held, at the end of its measured window: means over the rule's seconds.
struct SteadyWindow {
  double ops_s = 0;
  double mb_s = 0;
};

struct RoundResult {
  double throughput_mb_s = 0;   // 1e6 bytes, reads and writes as the workload counts them, over the measured window
  double ops_s = 0;
  u64 bytes = 0;                // of the measured window, as are all counts below unless they say otherwise
  u64 write_bytes = 0;          // of those, written
  u64 operations = 0;
  double warmup_seconds = 0;
  double measured_seconds = 0;
  double cleanup_seconds = 0;   // deleting the clients' trees; not part of the throughput
  // By the workload's kinds (dbench: OpKind), in nanoseconds; empty ones for what it does not do.
  std::vector<results::HistogramCounts> latency = std::vector<results::HistogramCounts>(latency_kinds_max);
  std::vector<SecondSample> series;  // warm-up included
  double client_user_seconds = 0;
  double client_system_seconds = 0;
  double machine_busy_seconds = 0;   // all cpus, the kernel's own threads included
  double machine_steal_seconds = 0;  // taken by a hypervisor
  std::optional<DeviceCounters> device_moved;
  std::vector<results::EngineActivity> engine;  // of cowfs
  std::optional<u64> system_calls;              // of cowfs's cores; of a kernel filesystem they are its clients'
  u64 cached_bytes = 0, node_bytes = 0;         // that it had in memory when the window ended
  std::optional<u64> memory_bytes_max;  // of this process, where the target lives in it
  std::optional<SteadyWindow> steady;
  std::vector<std::string> remarks;  // on the round, for the notes
  u64 passes = 0;               // whole loadfiles, over the whole round
  u64 complaints = 0;           // wrong results that dbench prints and survives, over the whole round
  std::vector<std::string> complaint_texts;
  u64 verify_mismatches = 0;    // contents that are not what was written, over the whole round

  // What reading back afterwards has found; the figures of the measured window stay.
  void add_verification(const RoundResult& verified);
  const results::HistogramCounts& flush_latency() const {
    return latency[static_cast<size_t>(workloads::OpKind::flush)];
  }
};

}  // namespace cowbench::harness
