#include "harness/posix_runner.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "harness/null_target.h"
#include "harness/posix_fs.h"
#include "harness/ready_task.h"

namespace cowbench::harness {
namespace {

void sleep_ns(u64 duration_ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(duration_ns)); }

class ThreadHost : public CountingHost {
 public:
  ThreadHost(RoundMemory& memory, u32 client) : CountingHost(memory, client, client) { own_thread_ = true; }
  Ready<void> sleep(u64 duration_ns) {
    constexpr u64 slice_ns = 100'000'000;  // so that a long pause in the loadfile does not outlive the round
    while (duration_ns > 0 && !stop_requested()) {
      const u64 now = std::min(duration_ns, slice_ns);
      sleep_ns(now);
      duration_ns -= now;
    }
    return {};
  }
};
static_assert(DbenchHost<ThreadHost>);

template <TargetCalls Target>
void run_client(const RunRequest& request, u32 client, RoundMemory& memory) {
  ClientSlot& slot = memory.slot(client);
  if (const Action pinned = apply_pin_of(request, client); !pinned) return slot.fail(to_text(pinned.failure()));
  Target target;
  ThreadHost host(memory, client);
  ClientOptions options = request.options;
  options.client = client;
  DbenchClient<Target, ThreadHost> dbench(*request.program, options, target, host);
  slot.state = state_ready;
  memory.wait_while(phase_wait);

  const ClientOutcome outcome = run_ready(dbench.run());
  slot.note(outcome);
  for (const Phase phase : {phase_warmup, phase_measure, phase_stop}) memory.wait_while(phase);
  run_ready(dbench.cleanup());
  if (!outcome.failed) slot.state = state_done;
}

template <TargetCalls Target>
Outcome<RoundResult> run_round(const RunRequest& request) {
  return run_kernel_clients(request, request.mode, [&request](u32 client, RoundMemory& memory) {
    run_client<Target>(request, client, memory);
  });
}

}  // namespace

Outcome<RoundResult> run_on_directory(const RunRequest& request) { return run_round<PosixFs>(request); }

Outcome<RoundResult> run_on_nothing(const RunRequest& request) { return run_round<NullTarget>(request); }

}  // namespace cowbench::harness
