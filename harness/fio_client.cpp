#include "harness/fio_client.h"

#include <array>

namespace cowbench::harness {

std::string_view name(FioLatency kind) {
  static constexpr std::array<std::string_view, fio_latency_kinds> names = {
      "read", "write", "trim", "sync", "read response", "write response", "trim response", "verify"};
  return names[static_cast<size_t>(kind)];
}

u64 FioSchedule::due_ns(const FioOp& op) {
  const size_t kind = static_cast<size_t>(op.kind);
  if (kind >= workloads::fio_kind_count) return 0;
  double interval_ns = 0;
  if (job_.rate_iops[kind] > 0) interval_ns = 1e9 / static_cast<double>(job_.rate_iops[kind]);
  if (job_.rate_bytes[kind] > 0) interval_ns = 1e9 * static_cast<double>(op.bytes) / static_cast<double>(job_.rate_bytes[kind]);
  if (interval_ns == 0) return 0;
  if (job_.rate_process == workloads::FioRateProcess::poisson) {
    const double uniform = (static_cast<double>(random_.next() >> 11) + 1) * 0x1p-53;  // above 0
    interval_ns *= -std::log(uniform);
  }
  return static_cast<u64>(next_ns_ += interval_ns);
}

}  // namespace cowbench::harness
