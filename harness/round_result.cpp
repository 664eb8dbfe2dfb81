#include "harness/round_result.h"

namespace cowbench::harness {

EngineProgress operator-(const EngineProgress& now, const EngineProgress& before) {
  return {now.commits - before.commits, now.checkpoints - before.checkpoints,
          now.device_write_bytes - before.device_write_bytes, now.device_read_bytes - before.device_read_bytes};
}

void RoundResult::add_verification(const RoundResult& verified) {
  for (size_t kind = 0; kind < latency_kinds_max; ++kind)
    if (!verified.latency[kind].empty()) latency[kind].merge(verified.latency[kind]);
  verify_mismatches += verified.verify_mismatches;
  complaint_texts.insert(complaint_texts.end(), verified.complaint_texts.begin(), verified.complaint_texts.end());
}

}  // namespace cowbench::harness
