// A load as a comparison measures it: the same on each target.
#pragma once
#include <string>
#include <vector>

#include "harness/cowfs_mount.h"
#include "harness/kernel_target.h"
#include "harness/round_phases.h"
#include "results/metrics.h"
#include "results/record.h"

namespace cowbench::harness {

// Reads back what a load has written in a round, after its measured window. Mismatches are counted and remarked upon; those
// that should end the run are a Failure. What it moved and how long that took is in the result, which is its own.
class Verification {
 public:
  enum class When { never, after_round, instead };
  virtual ~Verification() = default;
  // instead: nothing is written, an earlier run has left what is read back. never: only settle() is for it.
  virtual When when() const = 0;
  // The target was synced after a round: all that was written must be there.
  virtual void settle() const = 0;
  // On the same target; it was mounted anew, or (a directory, a device) only synced.
  virtual Outcome<RoundResult> verify(CowfsTargetMount& target, RoundRequest round) const = 0;
  virtual Outcome<RoundResult> verify(KernelTarget& target, RoundRequest round) const = 0;
};

class Workload {
 public:
  virtual ~Workload() = default;
  virtual std::string name() const = 0;     // "dbench client.txt"
  virtual std::string payload() const = 0;  // what is written, in a word
  virtual u32 clients() const = 0;
  virtual double seconds() const = 0;  // of a measured window
  virtual std::optional<double> warmup_seconds() const = 0;
  virtual u64 default_cache_bytes() const = 0;  // for cowfs's page cache
  virtual bool runs_on_a_device() const { return false; }  // on a raw one, without files
  virtual Action check() const = 0;             // Failure request: it makes no sense
  // What a plan and the record say of it, one line each.
  virtual std::vector<std::string> plan() const = 0;
  virtual std::vector<std::string> caveats() const = 0;
  virtual std::vector<std::string> kernel_notes() const = 0;  // of its clients on kernel targets

  // One round. The targets are prepared; `round` is complete but for the device. `seed` is this round's.
  virtual Outcome<RoundResult> run(CowfsTargetMount& target, RoundRequest round, u64 seed, bool system_call_charge) const = 0;
  virtual Outcome<RoundResult> run(KernelTarget& target, RoundRequest round, u64 seed) const = 0;
  virtual Outcome<RoundResult> run_on_nothing(RoundRequest round, u64 seed) const = 0;

  // Null: nothing is written so that it can be recognised.
  virtual const Verification* verification() const { return nullptr; }

  // Figures of a round besides those that every load has (to_record).
  virtual results::MetricValues metrics(const RoundResult& measured) const = 0;
  virtual std::string operation_name(size_t latency_kind) const = 0;

  // The program whose load this is; it shows whether our clients load a filesystem alike.
  virtual std::string reference() const = 0;  // "dbench 4.0"
  // Why it cannot run the same load; empty when it can.
  virtual std::string reference_obstacle() const = 0;
  // Runs it on a prepared target, on these cpus (none named: anywhere); MB/s.
  virtual Outcome<double> run_reference(const KernelTarget& target, const std::vector<u32>& cpus) const = 0;
};

}  // namespace cowbench::harness
