// The jobs of a fio file that run together, as a comparison measures them.
#pragma once
#include <string>
#include <vector>

#include "harness/fio_layout.h"
#include "harness/workload.h"

namespace cowbench::harness {

struct FioLoad {
  std::string file;                      // for people: the job file's name
  std::vector<workloads::FioJob> jobs;   // that run at the same time
};

// Cut at each stonewall: what runs together, in order.
std::vector<FioLoad> fio_loads(const std::string& file, std::vector<workloads::FioJob> jobs);

class FioWorkload : public Workload {
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
  u64 runtime_ns(const workloads::FioJob& job) const;

  const FioLoad load_;
  std::vector<Clone> clones_;  // client i is clone i
};

}  // namespace cowbench::harness
