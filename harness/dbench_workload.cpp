#include "harness/dbench_workload.h"

#include <fmt/format.h>

#include <cmath>

#include "harness/cowfs_runner.h"
#include "harness/round_record.h"
#include "harness/stock_dbench.h"
#include "results/counted.h"

namespace cowbench::harness {

std::string DbenchWorkload::name() const { return "dbench " + load_.loadfile.substr(load_.loadfile.rfind('/') + 1); }

std::string DbenchWorkload::payload() const { return std::string(workloads::name(load_.options.payload)); }

u64 DbenchWorkload::default_cache_bytes() const { return harness::default_cache_bytes(load_.clients); }

Action DbenchWorkload::check() const {
  RoundRequest round;
  round.clients = load_.clients;
  round.seconds = load_.seconds;
  return harness::check(round);
}

std::vector<std::string> DbenchWorkload::plan() const {
  return {fmt::format("dbench load {}: {} operations, {} files' names, {}", load_.loadfile,
                      load_.program->ops.size(), load_.program->paths.size(), results::counted(load_.clients, "client"))};
}

std::vector<std::string> DbenchWorkload::caveats() const {
  if (load_.options.verify) return {"contents were verified: the clients were slower than they can be"};
  return {};
}

std::vector<std::string> DbenchWorkload::kernel_notes() const {
  return {fmt::format("clients are {}", to_text(load_.mode))};
}

LoadRequest DbenchWorkload::request(RoundRequest round, u64 seed) const {
  LoadRequest request{std::move(round), load_.program, load_.options};
  request.options.seed = seed;
  request.moves_bytes = load_.program->accounted_bytes > 0;
  return request;
}

Outcome<RoundResult> DbenchWorkload::run(CowfsTargetMount& target, RoundRequest round, u64 seed,
                                         bool system_call_charge) const {
  round.devices = target.device_numbers();
  return run_on_cowfs(target, {request(std::move(round), seed), system_call_charge});
}

Outcome<RoundResult> DbenchWorkload::run(KernelTarget& target, RoundRequest round, u64 seed) const {
  round.devices = target.device_numbers();
  LoadRequest load = request(std::move(round), seed);
  load.options.directory = target.directory();
  return run_on_directory({std::move(load), load_.mode});
}

Outcome<RoundResult> DbenchWorkload::run_on_nothing(RoundRequest round, u64 seed) const {
  LoadRequest load = request(std::move(round), seed);
  load.options.verify = false;  // it keeps nothing
  return harness::run_on_nothing({std::move(load), load_.mode});
}

results::MetricValues DbenchWorkload::metrics(const RoundResult& measured) const {
  results::MetricValues metrics;
  add_percentiles(metrics, "flush", measured.flush_latency());
  return metrics;
}

std::string DbenchWorkload::operation_name(size_t latency_kind) const {
  return std::string(workloads::report_name(static_cast<workloads::OpKind>(latency_kind)));
}

std::string DbenchWorkload::reference_obstacle() const {
  if (load_.options.rate_mb_s > 0 || load_.options.verify) return "dbench cannot be given the same limits";
  if (load_.options.payload != workloads::PayloadKind::zero) return "dbench writes zeros only";
  return "";
}

Outcome<double> DbenchWorkload::run_reference(const KernelTarget& target, const std::vector<u32>& cpus) const {
  StockRequest stock;
  stock.directory = target.directory();
  stock.loadfile = load_.loadfile;
  stock.clients = load_.clients;
  stock.cpus = cpus;
  stock.seconds = static_cast<u32>(std::ceil(load_.seconds));
  stock.sync_open = load_.options.sync_open;
  stock.sync_directories = load_.options.sync_directories;
  stock.sync_writes = load_.options.sync_writes;
  stock.extended_attributes = load_.options.extended_attributes;
  const auto result = run_stock_dbench(stock);
  if (!result) return result.failure();
  return result->throughput_mb_s;
}

}  // namespace cowbench::harness
