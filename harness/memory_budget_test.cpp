#include "harness/memory_budget.h"

#include <gtest/gtest.h>

#include "harness/dbench_workload.h"

namespace cowbench::harness {
namespace {

const DbenchWorkload& two_clients() {
  static const DbenchWorkload workload = [] {
    DbenchLoad load;
    load.clients = 2;
    return DbenchWorkload(load);
  }();
  return workload;
}

MeasureRequest request_for(std::vector<std::string> targets, std::optional<u64> cache_bytes = {}) {
  MeasureRequest request;
  request.workload = &two_clients();
  request.cache_bytes = cache_bytes;
  for (const std::string& target : targets) request.targets.push_back(*parse_target(target));
  return request;
}

TEST(MemoryBudget, IsThatOfTheLargestCowfs) {
  constexpr u64 node_bytes = 512 * cowfs::mib;
  struct Case {
    const char* name;
    MeasureRequest request;
    u64 cache_bytes;  // 0: no budget
    u64 metadata_bytes;
  };
  for (const Case& c : {Case{"default", request_for({"cowfs", "xfs"}), two_clients().default_cache_bytes(), node_bytes},
                        Case{"--cache", request_for({"cowfs", "xfs"}, 64 * cowfs::mib), 64 * cowfs::mib, node_bytes},
                        Case{"options", request_for({"cowfs:cache=9G,node_cache=1G", "cowfs", "path:/x"}), 9 * cowfs::gib,
                             1 * cowfs::gib},
                        Case{"no kernel target", request_for({"cowfs", "null"}), 0, 0},
                        Case{"no cowfs", request_for({"xfs", "ext4"}), 0, 0},
                        Case{"no cowfs, but --cache", request_for({"xfs"}, cowfs::gib), cowfs::gib, node_bytes}}) {
    SCOPED_TRACE(c.name);
    const auto budget = kernel_memory_budget(c.request);
    ASSERT_EQ(budget.has_value(), c.cache_bytes != 0);
    if (!budget) continue;
    EXPECT_EQ(budget->cache_bytes, c.cache_bytes);
    EXPECT_EQ(budget->metadata_bytes, c.metadata_bytes);
    EXPECT_GT(budget->process_bytes, 0u);
  }
}

TEST(MemoryBudget, FilesInMemoryAreStorageNotCache) {
  EXPECT_TRUE(is_memory_filesystem("/dev/shm"));
  EXPECT_FALSE(is_memory_filesystem("/proc"));
}

}  // namespace
}  // namespace cowbench::harness
