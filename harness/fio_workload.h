// The jobs of a fio file that run together, as a comparison measures them.
#pragma once
#include <string>
#include <vector>

#include "harness/fio_calls.h"
#include "harness/fio_layout.h"
#include "harness/workload.h"

namespace cowbench::harness {

struct FioLoad {
  std::string file;                      // for people: the job file's name
  std::vector<workloads::FioJob> jobs;   // that run at the same time
  u32 precondition_seconds = 0;          // of a window, instead of ramp_time (SteadyBySnia); 0: not
  std::string kept = "";                 // file where it stands how far writes came, for a later run; empty: nowhere
};

// Cut at each stonewall: what runs together, in order.
std::vector<FioLoad> fio_loads(const std::string& file, std::vector<workloads::FioJob> jobs);

class FioWorkload : public Workload, private Verification {
 public:
  explicit FioWorkload(FioLoad load);

  std::string name() const override;
  std::string payload() const override;
  u32 clients() const override { return static_cast<u32>(clones_.size()); }
  double seconds() const override;
  std::optional<double> warmup_seconds() const override;
  u64 default_cache_bytes() const override;
  bool runs_on_a_device() const override { return true; }
  Action check() const override;
  std::vector<std::string> plan() const override;
  std::vector<std::string> caveats() const override;
  std::vector<std::string> kernel_notes() const override;
  Outcome<RoundResult> run(CowfsTargetMount& target, RoundRequest round, u64 seed, bool system_call_charge) const override;
  Outcome<RoundResult> run(KernelTarget& target, RoundRequest round, u64 seed) const override;
  Outcome<RoundResult> run_on_nothing(RoundRequest round, u64 seed) const override;
  const Verification* verification() const override;
  results::MetricValues metrics(const RoundResult& measured) const override;
  std::string operation_name(size_t latency_kind) const override;
  std::string reference() const override { return "fio"; }
  std::string reference_obstacle() const override;
  Outcome<double> run_reference(const KernelTarget& target, const std::vector<u32>& cpus) const override;

 private:
  struct Clone {
    const workloads::FioJob* job;
    u32 number;
  };
  When when() const override;
  void settle() const override;
  Outcome<RoundResult> verify(CowfsTargetMount& target, RoundRequest round) const override;
  Outcome<RoundResult> verify(KernelTarget& target, RoundRequest round) const override;

  u64 runtime_ns(const workloads::FioJob& job) const;
  Action begin_progress(u64 seed) const;
  Action find_progress() const;
  FioClientOptions client_options(u32 client, u64 seed) const;
  Action check_verify() const;
  Action check_steady() const;
  void set_ends(RoundRequest& round) const;
  template <typename Charge, typename Client>
  CowfsClient cowfs_client(u32 cores, u64 seed) const;
  template <typename Client>
  Outcome<RoundResult> run_on_kernel(KernelTarget& target, const RoundRequest& round, u64 seed,
                                     const std::optional<DeviceLayout>& layout) const;

  const FioLoad load_;
  std::vector<Clone> clones_;  // client i is clone i
  mutable std::unique_ptr<FioProgress> progress_;  // of the round that wrote last, when a job has verify=
};

}  // namespace cowbench::harness
