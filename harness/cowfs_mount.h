// cowfs as a target: formatted and mounted afresh for each round, with clients as coroutines on its cores.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "harness/cowfs_options.h"
#include "harness/kernel_target.h"
#include "harness/round_phases.h"

namespace cowbench::harness {

// One client, start to end, on its core: reports through its slot and its core's latency table, and goes through the
// phases. What it uses besides is its own, or shared by the function object, which outlives it.
using CowfsClient =
    std::function<cowfs::Task<void>(cowfs::Filesystem& filesystem, RoundMemory& memory, u32 client, u32 core)>;

// For clients: on the core's clock, without blocking it.
cowfs::Task<void> sleep_for(u64 duration_ns);
cowfs::Task<void> wait_for_phase(RoundMemory& memory, Phase phase);

// A client's own phases: ready, its run, whose result says why it failed (empty: it did not), and in the clean-up `end`. Both are
// awaited; they outlive the task.
template <typename Run, typename End>
cowfs::Task<void> go_through_phases_on_core(RoundMemory& memory, ClientSlot& slot, const Run& run, const End& end) {
  slot.state = state_ready;
  co_await wait_for_phase(memory, phase_warmup);
  const std::string failure = co_await run();
  if (failure.empty()) slot.stop();
  else slot.fail(failure);
  co_await wait_for_phase(memory, phase_cleanup);
  co_await end();
  if (failure.empty()) slot.state = state_done;
}

class CowfsTargetMount {
 public:
  // `pins`: one core of the engine for each of its generators. `cache_bytes`: unless the options say otherwise. `media`
  // outlives the target; null for a plan.
  CowfsTargetMount(const CowfsOptions& options, const PinPlan& pins, u64 cache_bytes, Media* media);
  ~CowfsTargetMount();
  CowfsTargetMount(const CowfsTargetMount&) = delete;
  CowfsTargetMount& operator=(const CowfsTargetMount&) = delete;

  // What it would do, one line each.
  std::vector<std::string> plan(const std::vector<std::string>& devices, Keep keep) const;
  // "cache=2 GiB", "cores=2 (cpus 0-1)": every option with the value that it has.
  std::vector<std::string> options_text() const;

  // Formats (unless what an earlier run left is used) and mounts. Failures failed: the engine's error, in words.
  Action prepare();
  // Client i runs on core i mod cores and stays there; what it makes is made from there. Failures: check()'s and
  // run_phases()'s. Precondition: prepared.
  Outcome<RoundResult> run(const RoundRequest& request, CowfsClient client);
  // Unmounts, and mounts the same again. Failure failed: the engine's error; finish() is then still to be called.
  Outcome<FinishReport> remount();
  // Unmounts; also to be called after a failed round. Failure failed: the engine's error; or clients that did not come
  // back: the engine is then left as it is, and the process should end.
  Outcome<FinishReport> finish();

  // Durability and integrity, as the engine states them; valid from the first prepare() on.
  const std::string& integrity() const { return integrity_; }
  cowfs::Filesystem& filesystem() { return *filesystem_; }  // precondition: prepared
  u32 cores() const { return filesystem_->cores(); }  // precondition: prepared
  std::vector<dev_t> device_numbers() const;  // none for a plain image

 private:
  Action mount();
  Outcome<FinishReport> unmount();

  Media* const media_;
  cowfs::FormatOptions format_;
  cowfs::MountOptions mount_;
  std::unique_ptr<cowfs::Filesystem> filesystem_;
  std::string integrity_;
  bool clients_left_ = false;
};

}  // namespace cowbench::harness
