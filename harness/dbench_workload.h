// The dbench load as a comparison measures it.
#pragma once
#include <string>

#include "harness/posix_runner.h"
#include "harness/workload.h"

namespace cowbench::harness {

struct DbenchLoad {
  std::string loadfile;
  const workloads::Program* program = nullptr;  // the loadfile, read; outlives the load
  u32 clients = 1;
  double seconds = 60;
  std::optional<double> warmup_seconds;
  ClientOptions options;
  ClientMode mode = ClientMode::processes;
};

class DbenchWorkload : public Workload {
 public:
  explicit DbenchWorkload(DbenchLoad load) : load_(std::move(load)) {}

  std::string name() const override;
  std::string payload() const override;
  u32 clients() const override { return load_.clients; }
  double seconds() const override { return load_.seconds; }
  std::optional<double> warmup_seconds() const override { return load_.warmup_seconds; }
  u64 default_cache_bytes() const override;
  Action check() const override;
  std::vector<std::string> plan() const override;
  std::vector<std::string> caveats() const override;
  std::vector<std::string> kernel_notes() const override;
  Outcome<RoundResult> run(CowfsTargetMount& target, RoundRequest round, u64 seed, bool system_call_charge) const override;
  Outcome<RoundResult> run(KernelTarget& target, RoundRequest round, u64 seed) const override;
  Outcome<RoundResult> run_on_nothing(RoundRequest round, u64 seed) const override;
  results::MetricValues metrics(const RoundResult& measured) const override;
  std::string operation_name(size_t latency_kind) const override;
  std::string reference() const override { return "dbench 4.0"; }
  std::string reference_obstacle() const override;
  Outcome<double> run_reference(const KernelTarget& target, const std::vector<u32>& cpus) const override;

 private:
  LoadRequest request(RoundRequest round, u64 seed) const;

  const DbenchLoad load_;
};

}  // namespace cowbench::harness
