// What every runner of clients shares, whatever their load and however they run: the phases of a round, the counters that
// clients write and the runner reads, and the figures that come of them.
//
// Phases: all clients ready (within 30 s), warm-up, measured window, stop, clean-up. The warm-up lasts t/5 whole seconds
// in addition to t, and goes on until every client has moved at least one byte, as in dbench 4.0 (or has ended an
// operation, when the load has no bytes to move: there dbench would warm up for ever); what it did is in no figure. Below
// 5 s there is next to none, and the start of the loadfile (in client.txt: 20 files of 1 MiB for each client) then counts
// in full: two runs compare only with the same t. A load that is over soon does not wait for all clients to move.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/latency.h"
#include "harness/changes_during_round.h"
#include "harness/dbench_client.h"
#include "harness/outcome.h"
#include "harness/round_result.h"
#include "harness/topology.h"
#include "workloads/steady_rule.h"

namespace cowbench::harness {

struct RunProgress {
  enum class Phase { warmup, measure, cleanup };
  Phase phase;
  double elapsed_seconds = 0;  // of this phase
  double total_seconds = 0;    // of warm-up or measured window, as asked for
  // Of this phase so far.
  double throughput_mb_s = 0;
  double ops_s = 0;
  std::optional<u64> latency_p99_ns = {};  // of all operations that ended in it
  std::optional<double> device_write_mb_s = {}, device_read_mb_s = {};
};

// A round, whatever its clients do and run on.
struct RoundRequest {
  u32 clients = 1;
  double seconds = 60;
  std::optional<double> warmup_seconds;  // default: a fifth of `seconds`, rounded down
  bool moves_bytes = true;               // false: the load reads and writes none
  bool warm_until_all_move = true;       // false: the warm-up is as long as asked for, and none at 0 s
  PinPlan pins;                          // empty: not pinned
  workloads::SteadyRule steady;          // the measured window ends when it holds
  u32 precondition_seconds = 0;          // instead of a warm-up: windows of so many, until they are steady (SteadyBySnia)
  std::vector<dev_t> devices;            // counted over the measured window
  std::vector<ChangeDuringRound> during;  // cowfs: what is done to its devices meanwhile
  std::function<void(const RunProgress&)> progress;  // about once a second; may be empty
};
constexpr u32 clients_max = 4096;

// A round of dbench clients.
struct LoadRequest : RoundRequest {
  const workloads::Program* program = nullptr;
  ClientOptions options;  // `client` is set for each; `directory` is the target's
};

// As asked for, or the default.
double warmup_seconds(const RoundRequest& request);

// Failures request: no clients, too many, no time.
Action check(const RoundRequest& request);

enum Phase : u32 { phase_wait, phase_warmup, phase_measure, phase_stop, phase_cleanup };
enum ClientState : u32 { state_starting, state_ready, state_stopped, state_failed, state_done };

// One word that all clients look at before each operation; its line stays shared in all caches.
struct alignas(128) RoundControl {
  std::atomic<u32> phase;
};

constexpr size_t client_text_bytes_max = 1000;
constexpr size_t complaint_slots = 4;

// Written by one client alone.
struct alignas(128) ClientSlot {
  std::atomic<u64> bytes;
  std::atomic<u64> operations;
  std::atomic<u64> write_bytes;
  std::atomic<u64> stopped_ns;
  std::atomic<u32> state;
  u64 passes, complaints, mismatches;
  double user_seconds, system_seconds;
  char failure[client_text_bytes_max];
  char complaint_texts[complaint_slots][client_text_bytes_max];

  void stop();                                  // its end: it has done all that it was to do, or was told to
  void fail(std::string_view why);              // its end, or the end of what can be measured
  void note(const ClientOutcome& outcome);      // its end, also by failure
  void remark(std::string_view text);           // the first complaint_slots are kept
};

// Written by one thread alone: that of a client, or of a core that many clients share.
struct alignas(128) LatencyTable {
  std::array<std::atomic<u64>, cowfs::latency_buckets> all;  // of every kind and phase; the runner looks each second
  results::HistogramCounts by_kind[latency_kinds_max];       // of the measured window
};

// The memory of one round, shared with child processes. All zero at first.
class RoundMemory {
 public:
  // Failures failed: there is not enough memory.
  static Outcome<std::unique_ptr<RoundMemory>> map(u32 clients, u32 latency_tables);
  ~RoundMemory();
  RoundMemory(const RoundMemory&) = delete;
  RoundMemory& operator=(const RoundMemory&) = delete;

  RoundControl& control() { return *static_cast<RoundControl*>(memory_); }
  ClientSlot& slot(u32 client);
  LatencyTable& latency(u32 table);
  u32 clients() const { return clients_; }
  u32 latency_tables() const { return latency_tables_; }

  void enter(Phase phase);  // and wakes who waits for it
  // Blocks while it is `phase`; for clients that have a thread of their own.
  void wait_while(Phase phase);

 private:
  RoundMemory() = default;
  void* memory_ = nullptr;
  u64 bytes_ = 0;
  u32 clients_ = 0;
  u32 latency_tables_ = 0;
};

u64 monotonic_ns();

// How a client reports. In the measured loop: one look at the control word and one clock read an operation, plain stores
// to memory of its own. A runner derives from it what waits (sleep, turn).
class CountingHost {
 public:
  CountingHost(RoundMemory& memory, u32 client, u32 latency_table)
      : control_(memory.control()), slot_(memory.slot(client)), latency_(memory.latency(latency_table)) {}
  ~CountingHost() { settle(); }
  CountingHost(const CountingHost&) = delete;
  CountingHost& operator=(const CountingHost&) = delete;

  u64 now_ns() const { return monotonic_ns(); }
  bool stop_requested() {
    const u32 phase = control_.phase.load(std::memory_order_relaxed);
    if (__builtin_expect(phase != phase_, 0)) enter(phase);
    return phase >= phase_stop;
  }
  void record(OpKind kind, u64 start_ns, u64 end_ns, u64 bytes) {
    count(bytes, kind == OpKind::write);
    record_latency(static_cast<size_t>(kind), end_ns - start_ns);
  }
  // One operation that moved so many bytes.
  void count(u64 bytes, bool written) {
    add(slot_.operations, 1);
    if (bytes == 0) return;
    add(slot_.bytes, bytes);
    if (written) add(slot_.write_bytes, bytes);
  }
  // Of an operation of the workload's `kind`; below latency_kinds_max.
  void record_latency(size_t kind, u64 latency_ns) {
    add(latency_.all[cowfs::latency_bucket(latency_ns)], 1);
    record_response(kind, latency_ns);
  }
  // Another latency of an operation that is recorded by itself. Counted when the next one comes: its slot is seldom in the
  // cache, and arrives meanwhile.
  void record_response(size_t kind, u64 latency_ns) {
    if (phase_ != phase_measure) return;
    settle();
    unsettled_ = &latency_.by_kind[kind];
    latency_ns_ = latency_ns;
    const u32 slot = results::layout::slot_of(std::min(latency_ns, results::layout::highest_trackable_ns));
    __builtin_prefetch(&unsettled_->slot_counts[slot], 1);
  }
  void mismatch(std::string_view text) {
    ++slot_.mismatches;
    slot_.remark(text);
  }
  void remark(std::string_view text) { slot_.remark(text); }
  void late(u64) {}
  void pass_done(u64) {}

 protected:
  // The thread's processor time counts as the client's; for hosts that have their thread to themselves.
  bool own_thread_ = false;

 private:
  // One writer: a plain add without the bus lock of fetch_add.
  static void add(std::atomic<u64>& counter, u64 amount) {
    counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void enter(u32 phase);
  void settle() {
    if (unsettled_ != nullptr) unsettled_->record(latency_ns_);
    unsettled_ = nullptr;
  }

  RoundControl& control_;
  ClientSlot& slot_;
  LatencyTable& latency_;
  results::HistogramCounts* unsettled_ = nullptr;  // where latency_ns_ is not counted yet
  u64 latency_ns_ = 0;
  u32 phase_ = phase_wait;
  double user_seconds_ = 0, system_seconds_ = 0;  // of this thread when the measured window began
};

// The clients, however they run.
class ClientGroup {
 public:
  virtual ~ClientGroup() = default;
  // Begins to make every client ready; each then waits for the end of phase_wait.
  virtual Action start() = 0;
  // A client that is gone although it should not be: who, and why.
  virtual std::optional<std::string> died() { return {}; }
  // About once a second; absent where no engine counts for itself.
  virtual std::optional<EngineProgress> engine_progress() { return {}; }
  // Around the measured window, for what the group counts itself.
  virtual void window_begins() {}
  virtual void window_ends() {}
  // Lets everybody go through the remaining phases and waits for their end. Called once, also after a failure, also
  // when start() failed. Failure failed: some do not come.
  virtual Action end() = 0;
};

// One round, start to end. Failures: mismatch: a client met a result that dbench would have ended at (the text names
// client, line, operation, path, and what was expected); failed: a client could not be started, died, or does not end;
// interrupted. The group was ended when it returns.
Outcome<RoundResult> run_phases(const RoundRequest& request, RoundMemory& memory, ClientGroup& group);

}  // namespace cowbench::harness
