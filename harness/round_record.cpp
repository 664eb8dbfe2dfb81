#include "harness/round_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace cowbench::harness {

results::Round to_record(const RoundResult& measured, u64 round, u64 position, u64 seed) {
  results::Round record;
  record.round = round;
  record.position = position;
  record.seed = std::to_string(seed);
  record.measured_seconds = measured.measured_seconds;
  record.operations = measured.operations;
  record.failed_operations = measured.complaints + measured.verify_mismatches;
  for (const SecondSample& sample : measured.series) {
    record.throughput_mb_s_each_second.push_back(sample.throughput_mb_s);
    record.latency_each_second.push_back(sample.latency);
    if (sample.engine) {
      record.commits_each_second.push_back(sample.engine->commits);
      record.checkpoints_each_second.push_back(sample.engine->checkpoints);
    }
    if (sample.warmup) ++record.warmup_seconds;
  }
  record.engine = measured.engine;
  results::MetricValues& metrics = record.metrics;
  metrics["throughput_mb_s"] = measured.throughput_mb_s;
  metrics["ops_s"] = measured.ops_s;
  u64 longest_ns = 0;
  for (const auto& latency : measured.latency) longest_ns = std::max(longest_ns, latency.max_ns);
  metrics["latency_max_ns"] = static_cast<double>(longest_ns);
  if (measured.device_moved) {
    metrics["device_write_bytes"] = static_cast<double>(measured.device_moved->write_bytes);
    metrics["device_read_bytes"] = static_cast<double>(measured.device_moved->read_bytes);
    metrics["device_flushes"] = static_cast<double>(measured.device_moved->flushes);
    if (const auto amplification = write_amplification(*measured.device_moved, measured.write_bytes))
      metrics["write_amplification"] = *amplification;
  }
  metrics["cpu_seconds"] = measured.machine_busy_seconds;
  if (measured.operations > 0)
    metrics["cpu_ns_per_operation"] = measured.machine_busy_seconds * 1e9 / static_cast<double>(measured.operations);
  if (measured.system_calls && measured.operations > 0)
    metrics["system_calls_per_operation"] = static_cast<double>(*measured.system_calls) / static_cast<double>(measured.operations);
  if (measured.memory_bytes_max) metrics["memory_peak_bytes"] = static_cast<double>(*measured.memory_bytes_max);
  return record;
}

void add_percentiles(results::MetricValues& metrics, std::string_view name, const results::HistogramCounts& latency) {
  if (latency.empty()) return;
  metrics[fmt::format("{}_p50_ns", name)] = static_cast<double>(latency.percentile_ns(50));
  metrics[fmt::format("{}_p99_ns", name)] = static_cast<double>(latency.percentile_ns(99));
}

void MergedLatencies::add(const RoundResult& measured) {
  for (size_t kind = 0; kind < by_kind_.size(); ++kind)
    if (!measured.latency[kind].empty()) by_kind_[kind].merge(measured.latency[kind]);
}

std::vector<results::OperationStatistics> MergedLatencies::statistics(const Workload& workload) const {
  std::vector<results::OperationStatistics> statistics;
  for (size_t kind = 0; kind < by_kind_.size(); ++kind) {
    if (by_kind_[kind].empty()) continue;
    statistics.push_back(results::summarise_operation(workload.operation_name(kind), by_kind_[kind], 0));
  }
  return statistics;
}

results::Environment to_record(const Environment& environment, const Topology& topology) {
  const auto value = [&](const char* key) { return std::string(environment.value(key)); };
  results::Environment record;
  record.kernel = value("kernel.release");
  record.kernel_command_line = value("kernel.parameters");
  record.cpu = value("cpu.model");
  record.governor = value("cpu.governor");
  record.mitigations = value("kernel.mitigations");
  if (value("machine.virtual") == "yes") record.virtualization = "virtual machine";
  record.cores = topology.cores().size();
  record.memory_bytes = std::strtoull(value("memory.total").c_str(), nullptr, 10) * cowfs::kib;
  record.commit = value("build.commit");
  record.dirty = value("build.dirty") != "no";
  record.build_type = value("build.type");
  if (const std::string sanitizer = value("build.sanitizer"); sanitizer != "none")
    record.build_type += ", sanitizer " + sanitizer;
  record.compiler = value("build.compiler");
  record.assertions = value("build.paranoid") == "on" ? "paranoid" : value("build.assertions");
  for (const Fact& fact : environment.facts)
    if (fact.key.starts_with("tool.")) record.programs.push_back(fact.key.substr(5) + ": " + fact.value);
  for (const Finding& finding : environment.findings) {
    const std::string mark = finding.severity == Severity::unfit ? "unfit: " : "";
    record.warnings.push_back(mark + finding.what + (finding.remedy.empty() ? "" : " (" + finding.remedy + ")"));
  }
  return record;
}

results::DeviceInfo to_record(const Media& media) {
  const DeviceIdentity& identity = media.identity();
  results::DeviceInfo record;
  record.path = media.device();
  record.kind = media.is_plain_image() ? "file" : media.image().empty() ? "disk" : "loop";
  record.model = identity.model;
  record.size_bytes = identity.size_bytes;
  record.logical_sector_bytes = identity.logical_sector_bytes;
  record.scheduler = identity.scheduler;
  record.write_cache = identity.write_cache;
  if (!media.is_plain_image()) record.rotational = identity.rotational ? "yes" : "no";
  record.backing = media.image().empty() ? identity.backing_file : fmt::format("{} ({})", media.image(), media.label());
  if (!media.is_plain_image()) record.settings.push_back(fmt::format("nr_requests={}", identity.nr_requests));
  return record;
}

std::vector<std::string> pins_text(const PinPlan& plan, u32 clients) {
  constexpr u32 named_max = 3;
  std::vector<std::string> lines;
  const u32 generators = static_cast<u32>(plan.pins.size());
  for (u32 at = 0; at < generators && at < clients; ++at) {
    const std::vector<u32>& cpus = plan.pins[at].cpus;
    std::string line = cpus.empty() ? "any cpu: clients" : fmt::format("cpu {}: clients", to_cpu_list(cpus));
    u32 count = 0;
    for (u32 client = at; client < clients; client += generators)
      if (++count <= named_max) line += fmt::format("{} {}", count == 1 ? "" : ",", client);
    if (count > named_max) line += fmt::format(", ... ({} in all)", count);
    lines.push_back(std::move(line));
  }
  if (clients > generators && plan.request.mode != PinMode::none)
    lines.push_back(fmt::format("cpus {}: clients of kernel filesystems, dealt by the scheduler{}", to_cpu_list(plan.cpus()),
                                plan.pins.front().numa == plan.pins.back().numa ? "" : " within their NUMA node"));
  return lines;
}

}  // namespace cowbench::harness
