#include "harness/memory_budget.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/statfs.h>

#include <algorithm>

#include "harness/byte_size.h"
#include "harness/cowfs_options.h"

namespace cowbench::harness {
namespace {

// Measured with the null target, 1 to 48 clients, version 1 of cgroups: 3.5 MiB each, for latency tables, buffers, stack and
// page tables. The base is for what they share, and for the real dbench.
constexpr u64 process_bytes_each = 4 * cowfs::mib;
constexpr u64 process_bytes_base = 16 * cowfs::mib;

bool is_served_by_kernel(const TargetName& name) { return is_made_by_mkfs(name.kind) || name.kind == TargetKind::path; }

}  // namespace

std::optional<MemoryBudget> kernel_memory_budget(const MeasureRequest& request) {
  if (std::ranges::none_of(request.targets, is_served_by_kernel)) return {};
  MemoryBudget budget;
  budget.metadata_bytes = cowfs::MountOptions().node_cache_bytes;
  budget.process_bytes = process_bytes_base + request.workload->clients() * process_bytes_each;
  if (request.cache_bytes) budget.cache_bytes = *request.cache_bytes;
  for (const TargetName& name : request.targets) {
    if (name.kind != TargetKind::cowfs) continue;
    const auto options = parse_cowfs_options(name.argument);
    assert(options.ok());  // check() has looked
    const u64 cache_bytes = request.cache_bytes.value_or(request.workload->default_cache_bytes());
    budget.cache_bytes = std::max(budget.cache_bytes, options->cache_bytes.value_or(cache_bytes));
    budget.metadata_bytes = std::max(budget.metadata_bytes, options->node_cache_bytes.value_or(0));
  }
  if (budget.cache_bytes == 0) return {};
  return budget;
}

std::string to_text(const MemoryLimit& limit) {
  const MemoryBudget& budget = limit.budget;
  return fmt::format("memory cgroup (v{}) {}: {} = {} page cache + {} metadata + {} client processes",
                     limit.controller.version, limit.path, size_text(budget.total_bytes()), size_text(budget.cache_bytes),
                     size_text(budget.metadata_bytes), size_text(budget.process_bytes));
}

std::string plan_memory_limit(const MemoryBudget& budget) {
  const auto controller = find_memory_controller();
  if (!controller) return "kernel targets are not limited; " + to_text(controller.failure());
  return "kernel targets run in a " + to_text(MemoryLimit{budget, *controller, memory_group_path(*controller)});
}

bool is_memory_filesystem(const std::string& directory) {
  struct statfs status = {};
  if (statfs(directory.c_str(), &status) != 0) return false;
  return status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC;
}

}  // namespace cowbench::harness
