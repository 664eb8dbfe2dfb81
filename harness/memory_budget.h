// The same memory for both sides: what clients of kernel targets may use, as a memory cgroup's limit. It holds
//   cache      cowfs's page cache budget, for the kernel's page cache;
//   metadata   cowfs's budget for btree nodes, for the kernel's inodes, dentries and metadata buffers;
//   processes  what the clients need for themselves, whatever they run on: cowfs's budgets do not hold that either.
#pragma once
#include <optional>
#include <string>

#include "harness/measured_run.h"
#include "harness/memory_group.h"

namespace cowbench::harness {

struct MemoryBudget {
  u64 cache_bytes = 0;
  u64 metadata_bytes = 0;
  u64 process_bytes = 0;
  u64 total_bytes() const { return cache_bytes + metadata_bytes + process_bytes; }
};

// Of the largest cowfs target. Absent: no kernel target takes part, or there is no cowfs and no --cache to be equal to.
std::optional<MemoryBudget> kernel_memory_budget(const MeasureRequest& request);

struct MemoryLimit {
  MemoryBudget budget;
  MemoryController controller;
  std::string path;  // of the group
};
// "memory cgroup (v1) /sys/...: 2.68 GiB = 2 GiB page cache + 512 MiB metadata + 184 MiB client processes"
std::string to_text(const MemoryLimit& limit);
// What would be made here, or why nothing can.
std::string plan_memory_limit(const MemoryBudget& budget);

// A directory whose files are memory: what it stores would count as cache, and cannot be dropped.
bool is_memory_filesystem(const std::string& directory);

}  // namespace cowbench::harness
