// What the generator itself costs: a pass of a loadfile on a target that does nothing, and recording alone. Items are
// operations.
#include <benchmark/benchmark.h>

#include <cmath>
#include <filesystem>

#include "engine/base/random.h"
#include "harness/dbench_client.h"
#include "harness/null_target.h"
#include "harness/ready_task.h"
#include "harness/round_phases.h"

namespace cowbench::harness {
namespace {

struct NullHost : CountingHost {
  explicit NullHost(RoundMemory& memory) : CountingHost(memory, 0, 0) { stop_requested(); }
  Ready<void> sleep(u64) { return {}; }
};

std::unique_ptr<RoundMemory> measuring() {
  auto memory = RoundMemory::map(1, 1);
  if (!memory) return nullptr;
  (*memory)->enter(phase_measure);
  return std::move(*memory);
}

void pass(benchmark::State& state, const char* file) {
  if (!std::filesystem::exists(file)) return state.SkipWithError("no such loadfile");
  workloads::LoadfileResult result = workloads::read_loadfile(file);
  workloads::Program& program = std::get<workloads::Program>(result);
  program.due_ns.clear();
  const auto memory = measuring();
  if (memory == nullptr) return state.SkipWithError("no memory");
  NullHost host(*memory);
  for ([[maybe_unused]] auto _ : state) {
    NullTarget target;
    ClientOptions options;
    options.passes_max = 1;
    DbenchClient client(program, options, target, host);
    const ClientOutcome outcome = run_ready(client.run());
    if (outcome.failed) return state.SkipWithError(outcome.message.c_str());
  }
  state.SetItemsProcessed(static_cast<int64_t>(memory->slot(0).operations.load()));
}
BENCHMARK_CAPTURE(pass, synthetic, COWBENCH_SYNTHETIC_LOAD);
BENCHMARK_CAPTURE(pass, client_txt, COWBENCH_CLIENT_LOAD)->Unit(benchmark::kMillisecond);

// Of five kinds, from a microsecond to ten milliseconds.
void record(benchmark::State& state) {
  struct Recorded {
    OpKind kind;
    u64 latency_ns;
  };
  std::vector<Recorded> recorded(4096);
  cowfs::Random random(1);
  for (Recorded& one : recorded) {
    const double decades = 4 * static_cast<double>(random.below(1'000'000)) / 1e6;
    one = {static_cast<OpKind>(random.below(5)), static_cast<u64>(1e3 * std::pow(10, decades))};
  }
  const auto memory = measuring();
  if (memory == nullptr) return state.SkipWithError("no memory");
  NullHost host(*memory);
  size_t at = 0;
  for ([[maybe_unused]] auto _ : state) {
    const Recorded& one = recorded[at++ % recorded.size()];
    host.record(one.kind, 0, one.latency_ns, 4096);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(record);

}  // namespace
}  // namespace cowbench::harness
