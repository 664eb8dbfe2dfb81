// A shape as a load that is compared: in each round its files are made first, by the clients that will use them, and synced.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "harness/workload.h"
#include "shapes/shape.h"

namespace cowbench::shapes {

class ShapeWorkload : public harness::Workload {
 public:
  explicit ShapeWorkload(ShapeLoad load) : load_(std::move(load)) {}

  std::string name() const override;
  std::string payload() const override { return "random"; }
  u32 clients() const override { return load_.clients; }
  double seconds() const override;
  std::optional<double> warmup_seconds() const override;
  u64 default_cache_bytes() const override;
  harness::Action check() const override;
  std::vector<std::string> plan() const override;
  std::vector<std::string> caveats() const override;
  std::vector<std::string> kernel_notes() const override { return {"clients are processes"}; }

  harness::Outcome<harness::RoundResult> run(harness::CowfsTargetMount& target, harness::RoundRequest round, u64 seed,
                                             bool system_call_charge) const override;
  harness::Outcome<harness::RoundResult> run(harness::KernelTarget& target, harness::RoundRequest round, u64 seed) const override;
  harness::Outcome<harness::RoundResult> run_on_nothing(harness::RoundRequest round, u64 seed) const override;

  results::MetricValues metrics(const harness::RoundResult& measured) const override;
  std::string operation_name(size_t latency_kind) const override;

  std::string reference() const override { return "program"; }
  std::string reference_obstacle() const override { return "no program of Debian's runs the same load"; }
  harness::Outcome<double> run_reference(const harness::KernelTarget& target, const std::vector<u32>& cpus) const override;

 private:
  const ShapeLoad load_;
};

}  // namespace cowbench::shapes
