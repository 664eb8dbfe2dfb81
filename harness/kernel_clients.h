// Clients that the kernel runs: one process (or thread) for each, whatever its load.
#pragma once
#include <functional>
#include <string_view>

#include "harness/round_phases.h"

namespace cowbench::harness {

enum class ClientMode {
  processes,  // as dbench and fio: each has its own memory map and descriptors
  threads,    // one memory map; descriptors, record locks and working directory are still each client's own
};
std::string_view to_text(ClientMode mode);

// How a client that has a thread to itself tells the time and reports.
class KernelHost : public CountingHost {
 public:
  KernelHost(RoundMemory& memory, u32 client) : CountingHost(memory, client, client) { own_thread_ = true; }
  Ready<void> turn() { return {}; }  // the kernel lets others run
};

// One client, start to end, on a process or thread of its own: reports through its slot and its latency table (both have
// its number), and goes through the phases.
using KernelClient = std::function<void(u32 client, RoundMemory& memory)>;

// Binds the calling thread as the request says for that client.
Action apply_pin_of(const RoundRequest& request, u32 client);

// A client's own phases: ready, its run, which returns why it failed (empty: it did not), the end.
template <typename Run>
void go_through_phases(RoundMemory& memory, ClientSlot& slot, Run run) {
  slot.state = state_ready;
  memory.wait_while(phase_wait);
  const std::string failure = run();
  if (!failure.empty()) return slot.fail(failure);
  slot.stop();
  for (const Phase phase : {phase_warmup, phase_measure, phase_stop}) memory.wait_while(phase);
  slot.state = state_done;
}

// Failures: check()'s, and run_phases()'s. In every case all clients are gone when it returns.
Outcome<RoundResult> run_kernel_clients(const RoundRequest& request, ClientMode mode, const KernelClient& function);

}  // namespace cowbench::harness
