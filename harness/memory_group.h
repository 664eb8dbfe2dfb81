// A memory cgroup: the kernel's page cache for what runs inside is limited, as cowfs's own page cache is.
//
// Version 1: the group is made below the one that this process is in. Version 2 allows no processes beside groups with a
// controller, so there it is made beside it, and only where the group above hands the memory controller down. Nothing of
// the host's own groups is changed.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/types.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u64;

struct MemoryController {
  int version = 2;
  std::string own;     // directory of the group that this process is in
  std::string parent;  // where a group can be made
};

// Failure missing: no memory controller is mounted, or it cannot be used from here; says why.
Outcome<MemoryController> find_memory_controller();
// The first part of it, pure: where the group lies, by the texts of /proc/self/cgroup and /proc/self/mountinfo.
Outcome<MemoryController> locate_memory_controller(std::string_view cgroup, std::string_view mountinfo);

// The name of a group of this process.
std::string memory_group_path(const MemoryController& controller);

// Makes the group and limits it. Made through a ledger as MadeKind::memory_group. Failure failed: the kernel's reason.
Action make_memory_group(const MemoryController& controller, const std::string& path, u64 limit_bytes);

// Takes this process out of the group if it is inside, waits for others that are on their way out, and removes it. No
// error when it is not there. Failure failed: processes stay in it; the text names them.
Action remove_memory_group(const std::string& path);

// The most that the group used since it was made or since the last reset; absent where the kernel does not say.
std::optional<u64> memory_group_peak(const std::string& path);
void reset_memory_group_peak(const std::string& path);

// How many processes the kernel has killed in the group since it was made, because it was full.
u64 memory_group_kills(const std::string& path);

// While it lives, this process is in the group, and children that it starts are born into it. What the process already
// had in memory stays charged to where it was. One at a time.
class InsideMemoryGroup {
 public:
  // Failure failed: the kernel's reason.
  static Outcome<InsideMemoryGroup> enter(const MemoryController& controller, const std::string& path);
  InsideMemoryGroup(InsideMemoryGroup&& other) noexcept;
  InsideMemoryGroup& operator=(InsideMemoryGroup&&) = delete;
  ~InsideMemoryGroup();

 private:
  InsideMemoryGroup() = default;
  bool inside_ = true;
};

}  // namespace cowbench::harness
