// A client that finds everything in memory never waits, so it would keep its core for a whole pass, and the others would
// stand in line for milliseconds. It therefore gives way after turn_ns of work. The clock for that is the one that is
// read after each operation anyway; the clients of a core share its last reading, so giving way costs no clock read.
#include "harness/cowfs_runner.h"

#include <algorithm>
#include <vector>

#include "engine/runtime/sync.h"
#include "harness/cowfs_target.h"

namespace cowbench::harness {
namespace {

using cowfs::Task;

// As long as the engine's own slices of ready work. Shorter turns cost more switches and cold caches; longer ones make
// the operations of other clients wait longer, their flushes among them.
constexpr u64 turn_ns = 20'000;
constexpr u64 sleep_slice_ns = 100'000'000;  // so that a long pause in the loadfile does not outlive the round

// The clock as one core's clients have read it.
struct alignas(128) CoreClock {
  u64 last_ns = 0;
  u64 turn_began_ns = 0;
};

class CoreHost : public CountingHost {
 public:
  CoreHost(RoundMemory& memory, u32 client, u32 core, CoreClock& clock)
      : CountingHost(memory, client, core), clock_(clock) {}

  u64 now_ns() { return clock_.last_ns = monotonic_ns(); }

  struct Turn {
    CoreClock& clock;
    bool await_ready() const noexcept { return clock.last_ns - clock.turn_began_ns < turn_ns; }
    void await_suspend(std::coroutine_handle<> client) const noexcept {
      clock.turn_began_ns = clock.last_ns;  // the next client's, whoever that is
      cowfs::runtime::this_reactor().schedule_last(client);
    }
    void await_resume() const noexcept {}
  };
  Turn turn() { return {clock_}; }

  Task<void> sleep(u64 duration_ns) {
    const u64 end_ns = now_ns() + duration_ns;
    while (!stop_requested() && clock_.last_ns < end_ns) {
      co_await sleep_for(std::min(sleep_slice_ns, end_ns - clock_.last_ns));
      now_ns();
    }
  }

 private:
  CoreClock& clock_;
};
static_assert(DbenchHost<CoreHost>);

template <typename Charge>
Task<void> run_client(cowfs::Filesystem& filesystem, RoundMemory& memory, const workloads::Program& program,
                      ClientOptions options, u32 core, CoreClock& clock) {
  using Target = CowfsTarget<Charge>;
  ClientSlot& slot = memory.slot(options.client);
  Target target(filesystem, options.extended_attributes);
  CoreHost host(memory, options.client, core, clock);
  const auto client = std::make_unique<DbenchClient<Target, CoreHost>>(program, options, target, host);
  slot.state = state_ready;
  co_await wait_for_phase(memory, phase_warmup);
  const ClientOutcome outcome = co_await client->run();
  slot.note(outcome);
  co_await wait_for_phase(memory, phase_cleanup);
  co_await client->cleanup();
  if (!outcome.failed) slot.state = state_done;
}

}  // namespace

Outcome<RoundResult> run_on_cowfs(CowfsTargetMount& mount, const CowfsRunRequest& request) {
  const auto function = request.system_call_charge ? run_client<SystemCallCharge> : run_client<NoCharge>;
  const auto clocks = std::make_shared<std::vector<CoreClock>>(mount.cores());
  return mount.run(request, [function, clocks, program = request.program, asked = request.options](
                                cowfs::Filesystem& filesystem, RoundMemory& memory, u32 client, u32 core) {
    ClientOptions options = asked;
    options.client = client;
    return function(filesystem, memory, *program, options, core, (*clocks)[core]);
  });
}

u64 default_cache_bytes(u32 clients) { return clients * (32 * cowfs::mib) + 512 * cowfs::mib; }

}  // namespace cowbench::harness
