#include "harness/cowfs_runner.h"

#include <vector>

#include "harness/core_host.h"
#include "harness/cowfs_target.h"

namespace cowbench::harness {
namespace {

using cowfs::Task;

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
