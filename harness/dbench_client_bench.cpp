// What the generator itself costs: a pass of a loadfile on a target that does nothing. Items are operations.
#include <benchmark/benchmark.h>

#include <chrono>
#include <filesystem>

#include "harness/dbench_client.h"
#include "harness/null_target.h"
#include "harness/ready_task.h"

namespace cowbench::harness {
namespace {

struct ClockHost {
  u64 operations = 0;
  u64 now_ns() { return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch().count()); }
  bool stop_requested() const { return false; }
  void record(OpKind, u64, u64, u64) { operations++; }
  void late(u64) {}
  void pass_done(u64) {}
  Ready<void> sleep(u64) { return {}; }
};

void pass(benchmark::State& state, const char* file) {
  if (!std::filesystem::exists(file)) return state.SkipWithError("no such loadfile");
  workloads::LoadfileResult result = workloads::read_loadfile(file);
  workloads::Program& program = std::get<workloads::Program>(result);
  program.due_ns.clear();
  u64 operations = 0;
  for ([[maybe_unused]] auto _ : state) {
    NullTarget target;
    ClockHost host;
    ClientOptions options;
    options.passes_max = 1;
    DbenchClient client(program, options, target, host);
    const ClientOutcome outcome = run_ready(client.run());
    if (outcome.failed) return state.SkipWithError(outcome.message.c_str());
    operations += host.operations;
  }
  state.SetItemsProcessed(static_cast<int64_t>(operations));
}
BENCHMARK_CAPTURE(pass, synthetic, COWBENCH_SYNTHETIC_LOAD);
BENCHMARK_CAPTURE(pass, client_txt, COWBENCH_CLIENT_LOAD)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cowbench::harness
