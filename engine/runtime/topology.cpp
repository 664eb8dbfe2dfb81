#include "engine/runtime/topology.h"

#include <hwloc.h>

#include <memory>

namespace cowfs::runtime {
namespace {

struct Topology {
  hwloc_topology_t handle = nullptr;
  Topology() {
    if (hwloc_topology_init(&handle) != 0) {
      handle = nullptr;
      return;
    }
    if (hwloc_topology_load(handle) == 0) return;
    hwloc_topology_destroy(handle);
    handle = nullptr;
  }
  ~Topology() {
    if (handle != nullptr) hwloc_topology_destroy(handle);
  }
  Topology(const Topology&) = delete;
  Topology& operator=(const Topology&) = delete;
};

// Reading the machine takes milliseconds and gives the same each time.
const Topology& topology() {
  static const Topology loaded;
  return loaded;
}

}  // namespace

std::vector<u32> allowed_processors() {
  std::vector<u32> processors;
  if (hwloc_topology_t machine = topology().handle) {
    hwloc_const_cpuset_t allowed = hwloc_topology_get_allowed_cpuset(machine);
    for (int index = hwloc_bitmap_first(allowed); index >= 0; index = hwloc_bitmap_next(allowed, index)) {
      processors.push_back(static_cast<u32>(index));
    }
  }
  if (processors.empty()) processors.push_back(0);
  return processors;
}

bool bind_this_thread(u32 processor) {
  hwloc_topology_t machine = topology().handle;
  if (machine == nullptr) return false;
  hwloc_obj_t unit = hwloc_get_pu_obj_by_os_index(machine, processor);
  if (unit == nullptr) return false;
  if (hwloc_set_cpubind(machine, unit->cpuset, HWLOC_CPUBIND_THREAD) != 0) return false;
  // Not strict: a full node must not end the program.
  hwloc_set_membind(machine, unit->cpuset, HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_THREAD);
  return true;
}

}  // namespace cowfs::runtime
