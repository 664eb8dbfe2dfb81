// From what the harness measured and saw to what a record states.
#pragma once
#include <string>
#include <vector>

#include "harness/environment.h"
#include "harness/media.h"
#include "harness/round_result.h"
#include "harness/topology.h"
#include "harness/workload.h"
#include "results/record.h"
#include "results/summary.h"

namespace cowbench::harness {

// What was not measured is left out.
results::Round to_record(const RoundResult& measured, u64 round, u64 position, u64 seed);

// As name_p50_ns and name_p99_ns; nothing when there is none.
void add_percentiles(results::MetricValues& metrics, std::string_view name, const results::HistogramCounts& latency);

// Latencies of all rounds of a target.
class MergedLatencies {
 public:
  void add(const RoundResult& measured);
  // By the load's names and in their order; kinds that did not occur are left out.
  std::vector<results::OperationStatistics> statistics(const Workload& workload) const;

 private:
  std::vector<results::HistogramCounts> by_kind_ = std::vector<results::HistogramCounts>(latency_kinds_max);
};

results::Environment to_record(const Environment& environment, const Topology& topology);
results::DeviceInfo to_record(const Media& media);
// "cpu 0: clients 0, 2, 4, ...", and where clients of kernel filesystems run when that differs.
std::vector<std::string> pins_text(const PinPlan& plan, u32 clients);

}  // namespace cowbench::harness
