#include "results/metrics.h"

#include <array>

namespace cowbench::results {
namespace {

// Device bytes and flushes of a timed round grow with the work done in it, so they are shown but not compared; their
// amplification is.
constexpr auto higher = Direction::higher_is_better;
constexpr auto lower = Direction::lower_is_better;
constexpr std::array table{
    MetricDescription{"throughput_mb_s", "Throughput", "MB/s", higher, true},
    MetricDescription{"iops", "I/O operations", "1/s", higher, true},
    MetricDescription{"bandwidth_mb_s", "Bandwidth", "MB/s", higher, false},
    MetricDescription{"steady_iops", "I/O operations when steady", "1/s", higher, true},
    MetricDescription{"steady_bandwidth_mb_s", "Bandwidth when steady", "MB/s", higher, false},
    MetricDescription{"steady_after_seconds", "Steady after", "s", lower, false},
    MetricDescription{"clat_p50_ns", "Latency p50", "ns", lower, true},
    MetricDescription{"clat_p99_ns", "Latency p99", "ns", lower, true},
    MetricDescription{"response_p50_ns", "Response p50", "ns", lower, true},
    MetricDescription{"response_p99_ns", "Response p99", "ns", lower, true},
    MetricDescription{"ops_s", "Operations", "1/s", higher, true},
    MetricDescription{"flush_p50_ns", "Flush p50", "ns", lower, true},
    MetricDescription{"flush_p99_ns", "Flush p99", "ns", lower, true},
    MetricDescription{"latency_max_ns", "Longest operation", "ns", lower, false},
    MetricDescription{"verified_blocks", "Blocks verified", "1", higher, false},
    MetricDescription{"verify_mismatches", "Blocks not as written", "1", lower, false},
    MetricDescription{"device_write_bytes", "Device bytes written", "B", lower, false},
    MetricDescription{"device_read_bytes", "Device bytes read", "B", lower, false},
    MetricDescription{"device_flushes", "Device flushes", "1", lower, false},
    MetricDescription{"write_amplification", "Write amplification", "x", lower, true},
    MetricDescription{"cpu_seconds", "Processor time", "s", lower, false},
    MetricDescription{"cpu_ns_per_operation", "Processor time per operation", "ns", lower, true},
    MetricDescription{"system_calls_per_operation", "System calls per operation", "1", lower, false},
    MetricDescription{"generator_ns_per_operation", "Generator cost per operation", "ns", lower, false},
    MetricDescription{"memory_peak_bytes", "Peak memory", "B", lower, false},
    // What other programs' results hold.
    MetricDescription{"latency_mean_ns", "Mean latency", "ns", lower, true},
    MetricDescription{"latency_p50_ns", "Latency p50", "ns", lower, true},
    MetricDescription{"latency_p99_ns", "Latency p99", "ns", lower, true},
    MetricDescription{"files_s", "Files", "1/s", higher, true},
    MetricDescription{"iteration_ns", "Time per iteration", "ns", lower, true},
    MetricDescription{"iteration_cpu_ns", "Processor time per iteration", "ns", lower, true},
};

}  // namespace

std::span<const MetricDescription> metric_table() { return table; }

const MetricDescription* find_metric(std::string_view name) {
  for (const MetricDescription& metric : table) {
    if (metric.name == name) return &metric;
  }
  return nullptr;
}

}  // namespace cowbench::results
