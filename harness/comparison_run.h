// One comparison: the same targets on the same medium, in interleaved rounds.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/measured_run.h"
#include "harness/memory_budget.h"
#include "harness/round_record.h"
#include "harness/rounds.h"

namespace cowbench::harness {

// What is left of the whole run, from how long its measurements took so far.
class TimeLeft {
 public:
  explicit TimeLeft(double nominal_seconds) : nominal_seconds_(nominal_seconds) {}
  void expect(u32 measurements) { expected_ += measurements; }
  void begin() { began_ns_ = monotonic_ns(); }
  void done();
  std::optional<double> seconds() const;

 private:
  double nominal_seconds_;  // of one measurement, before there is experience
  u32 expected_ = 0;
  u32 done_ = 0;
  double measured_seconds_ = 0;
  u64 began_ns_ = 0;
};

// A target as it takes part in one comparison.
class Entrant {
 public:
  Entrant(TargetName name, bool system_call_charge) : name_(std::move(name)), charge_(system_call_charge) {}

  // "cowfs+syscall-charge"
  std::string label() const { return name_.text + (charge_ ? "+syscall-charge" : ""); }
  const TargetName& name() const { return name_; }
  TargetKind kind() const { return name_.kind; }
  bool needs_media() const { return harness::needs_media(kind()); }
  bool served_by_kernel() const { return kernel_.has_value(); }

  // `limit` outlives it, and is null where clients of kernel targets are not limited. Failures missing: it cannot be had
  // here, and why.
  Action create(const MeasureRequest& request, Ledger& ledger, Media* media, const MemoryLimit* limit);
  Action prepare();
  Outcome<RoundResult> run(const Workload& workload, RoundRequest round, u64 seed);
  // Precondition, also of verify(): it is not null.
  Outcome<FinishReport> remount();
  Outcome<RoundResult> verify(const Verification& verification, RoundRequest round);
  Outcome<double> run_reference(const Workload& workload, const std::vector<u32>& cpus);
  // Also after a failed round.
  Outcome<FinishReport> finish();

  void keep(const RoundResult& measured, const FinishReport& finish, results::Round round);
  void keep_reference(double throughput_mb_s) { reference_mb_s_.push_back(throughput_mb_s); }
  // What it all came to.
  results::TargetResult result(const Workload& workload) const;
  const std::vector<double>& reference() const { return reference_mb_s_; }
  // Those that have ended.
  const std::vector<results::Round>& rounds() const { return rounds_; }
  // As mounted; empty before the first round.
  const std::string& mount_facts() const { return mount_facts_; }

 private:
  std::vector<std::string> notes(const Workload& workload) const;
  // Runs what loads a kernel filesystem, inside the limit if there is one.
  template <typename Load>
  auto limited(Load load) -> decltype(load());

  TargetName name_;
  bool charge_;
  std::unique_ptr<CowfsTargetMount> cowfs_;
  std::optional<KernelTarget> kernel_;
  const MemoryLimit* limit_ = nullptr;
  std::vector<std::string> options_;
  std::string promise_, mount_facts_;
  std::vector<results::Round> rounds_;
  MergedLatencies latencies_;
  u64 cached_bytes_ = 0, node_bytes_ = 0;  // of cowfs, when the last round's window ended
  std::vector<double> reference_mb_s_;
  std::vector<double> finish_seconds_, finish_bytes_;
  std::vector<std::string> complaints_;
  std::vector<std::string> remarks_;
};

// Each target, and each cowfs also with the charge when that is asked for.
std::vector<Entrant> entrants_of(const MeasureRequest& request);

// Where images go that need no root.
std::string plain_image_directory(const MeasureRequest& request, MediaKind kind);

// Runs it and adds it to `record`, also when it fails half-way.
Action run_comparison(const MeasureRequest& request, const MediaRequest& media, Ledger& ledger, TimeLeft& time_left,
                      results::Record& record);

}  // namespace cowbench::harness
