// How a client on a core of cowfs tells the time, waits and gives way.
//
// A client that finds everything in memory never waits, so it would keep its core for a whole pass, and the others would
// stand in line for milliseconds. It therefore gives way after turn_ns of work. The clock for that is the one that is
// read after each operation anyway; the clients of a core share its last reading, so giving way costs no clock read.
#pragma once
#include <algorithm>

#include "engine/runtime/sync.h"
#include "harness/cowfs_mount.h"

namespace cowbench::harness {

// As long as the engine's own slices of ready work. Shorter turns cost more switches and cold caches; longer ones make
// the operations of other clients wait longer, their flushes among them.
constexpr u64 client_turn_ns = 20'000;
constexpr u64 client_sleep_slice_ns = 100'000'000;  // so that a long pause in the loadfile does not outlive the round

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
    bool await_ready() const noexcept { return clock.last_ns - clock.turn_began_ns < client_turn_ns; }
    void await_suspend(std::coroutine_handle<> client) const noexcept {
      clock.turn_began_ns = clock.last_ns;  // the next client's, whoever that is
      cowfs::runtime::this_reactor().schedule_last(client);
    }
    void await_resume() const noexcept {}
  };
  Turn turn() { return {clock_}; }

  cowfs::Task<void> sleep(u64 duration_ns) {
    const u64 end_ns = now_ns() + duration_ns;
    while (!stop_requested() && clock_.last_ns < end_ns) {
      co_await sleep_for(std::min(client_sleep_slice_ns, end_ns - clock_.last_ns));
      now_ns();
    }
  }

 private:
  CoreClock& clock_;
};

}  // namespace cowbench::harness
