#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "harness/byte_size.h"
#include "harness/comparison_run.h"
#include "results/statistics.h"

namespace cowbench::harness {

std::vector<Entrant> entrants_of(const MeasureRequest& request) {
  std::vector<Entrant> entrants;
  for (const TargetName& name : request.targets) {
    entrants.emplace_back(name, false);
    if (request.system_call_charge && name.kind == TargetKind::cowfs) entrants.emplace_back(name, true);
  }
  return entrants;
}

namespace {

// Several devices are one for XFS or ext4 where the kernel makes an array of them.
std::string why_one_device() {
  if (access("/proc/mdstat", F_OK) != 0) return "it takes one device, and this kernel has no md to make one of several";
  return "it takes one device: make an array of them with mdadm, and name that with --device in a run of its own";
}

}  // namespace

Action Entrant::create(const MeasureRequest& request, Ledger& ledger, Media* media, const MemoryLimit* limit) {
  if (kind() == TargetKind::null) {
    promise_ = "nothing is stored";
    return Done{};
  }
  if (kind() == TargetKind::cowfs) {
    const auto options = parse_cowfs_options(name_.argument);
    assert(options.ok());  // check() has looked
    const u64 cache_bytes = request.cache_bytes.value_or(request.workload->default_cache_bytes());
    cowfs_ = std::make_unique<CowfsTargetMount>(*options, request.pins, cache_bytes, media);
    options_ = cowfs_->options_text();
    return Done{};
  }
  if (needs_media() && media->is_plain_image())
    return Failure{FailureKind::missing, "it needs a loop device", ""};
  if (media != nullptr && media->devices().size() > 1 && !takes_several_devices(kind())) return Failure{FailureKind::missing, why_one_device(), ""};
  auto kernel =
      KernelTarget::create(name_, ledger, kind() == TargetKind::path ? nullptr : media, default_mount_directory, keep_of(request));
  if (!kernel) return kernel.failure();
  kernel_ = std::move(*kernel);
  promise_ = kernel_->promise();
  const bool stands_in_memory = kind() == TargetKind::path && is_memory_filesystem(name_.argument);
  if (limit != nullptr && !stands_in_memory) {
    limit_ = limit;
    options_.push_back("memory cgroup of " + size_text(limit->budget.total_bytes()));
  }
  if (is_made_by_mkfs(kind()))
    for (const std::string& line : KernelTarget::plan(name_, media->devices(), keep_of(request)))
      if (line.starts_with("mkfs.") || line.starts_with("mount ")) options_.push_back(line);
  return Done{};
}

Action Entrant::prepare() {
  if (cowfs_ != nullptr) {
    Action prepared = cowfs_->prepare();
    promise_ = cowfs_->integrity();
    return prepared;
  }
  if (!kernel_) return Done{};
  Action prepared = kernel_->prepare();
  if (prepared) mount_facts_ = kernel_->mount_facts();
  return prepared;
}

template <typename Load>
auto Entrant::limited(Load load) -> decltype(load()) {
  if (limit_ == nullptr) return load();
  reset_memory_group_peak(limit_->path);
  const u64 killed_before = memory_group_kills(limit_->path);
  auto inside = InsideMemoryGroup::enter(limit_->controller, limit_->path);
  if (!inside) return inside.failure();
  auto result = load();
  const u64 killed = memory_group_kills(limit_->path) - killed_before;
  if (result || killed == 0) return result;
  return Failure{result.failure().kind,
                 fmt::format("{}; the kernel killed {} processes, since the memory cgroup of {} was full",
                             result.failure().what, killed, size_text(limit_->budget.total_bytes())),
                 "use a larger --cache"};
}

Outcome<RoundResult> Entrant::run(const Workload& workload, RoundRequest round, u64 seed) {
  if (cowfs_ != nullptr) return workload.run(*cowfs_, std::move(round), seed, charge_);
  if (!kernel_) return workload.run_on_nothing(std::move(round), seed);
  auto measured = limited([&] { return workload.run(*kernel_, std::move(round), seed); });
  if (measured && limit_ != nullptr) measured->memory_bytes_max = memory_group_peak(limit_->path);
  return measured;
}

Outcome<FinishReport> Entrant::remount() {
  if (cowfs_ != nullptr) return cowfs_->remount();
  return kernel_->remount();
}

Outcome<RoundResult> Entrant::verify(const Verification& verification, RoundRequest round) {
  if (cowfs_ != nullptr) return verification.verify(*cowfs_, std::move(round));
  return limited([&] { return verification.verify(*kernel_, std::move(round)); });
}

Outcome<double> Entrant::run_reference(const Workload& workload, const std::vector<u32>& cpus) {
  return limited([&] { return workload.run_reference(*kernel_, cpus); });
}

Outcome<FinishReport> Entrant::finish() {
  if (cowfs_ != nullptr) return cowfs_->finish();
  if (kernel_) return kernel_->finish();
  return FinishReport{};
}

void Entrant::keep(const RoundResult& measured, const FinishReport& finish, results::Round round) {
  if (kind() == TargetKind::null && measured.operations > 0) {
    const double busy_seconds = measured.client_user_seconds + measured.client_system_seconds;
    round.metrics["generator_ns_per_operation"] = busy_seconds * 1e9 / static_cast<double>(measured.operations);
  }
  rounds_.push_back(std::move(round));
  cached_bytes_ = measured.cached_bytes;
  node_bytes_ = measured.node_bytes;
  latencies_.add(measured);
  finish_seconds_.push_back(static_cast<double>(finish.sync_ns) / 1e9);
  finish_bytes_.push_back(static_cast<double>(finish.sync_moved.write_bytes));
  for (const std::string& text : measured.complaint_texts)
    if (complaints_.size() < complaint_texts_max) complaints_.push_back(text);
  for (const std::string& text : measured.remarks) remarks_.push_back(fmt::format("round {}: {}", rounds_.size(), text));
}

std::vector<std::string> Entrant::notes(const Workload& workload) const {
  std::vector<std::string> notes;
  if (kernel_) notes = workload.kernel_notes();
  if (charge_)
    notes.push_back("pays one real system call (getppid) for each that the same call takes on a kernel filesystem");
  if (!finish_seconds_.empty() && needs_media()) {
    notes.push_back(fmt::format("at the end of a round, {} took {:.2f} s and wrote {} (medians): not part of the figures",
                                cowfs_ != nullptr ? "unmounting" : "syncfs", results::median(finish_seconds_),
                                size_text(static_cast<u64>(results::median(finish_bytes_)))));
  }
  if (cowfs_ != nullptr && !rounds_.empty()) {
    const auto count = [&](std::string_view name) { return results::engine_activity(rounds_.back().engine, name).count; };
    notes.push_back(fmt::format("in the last measured window: {} commits, {} checkpoints, {} blocks moved by copygc, "
                                "{} of pages cached, {} of btree nodes",
                                count("commit"), count("checkpoint"), count("copygc"), size_text(cached_bytes_),
                                size_text(node_bytes_)));
  }
  notes.insert(notes.end(), complaints_.begin(), complaints_.end());
  notes.insert(notes.end(), remarks_.begin(), remarks_.end());
  return notes;
}

results::TargetResult Entrant::result(const Workload& workload) const {
  results::TargetResult result;
  result.target = label();
  result.integrity = promise_;
  result.variant = charge_ ? "syscall-charge" : "";
  result.subject = kind() == TargetKind::cowfs;
  result.options = options_;
  if (!mount_facts_.empty()) result.options.push_back(mount_facts_);
  result.rounds = rounds_;
  result.operations = latencies_.statistics(workload);
  result.notes = notes(workload);
  return result;
}

}  // namespace cowbench::harness
