// The cores of this machine (or of a described one) and which core each load generator runs on.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/types.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u32;
using cowfs::u64;

struct Core {
  u32 index = 0;           // in the order of the machine's layout: neighbours share caches
  std::vector<u32> cpus;   // the operating system's numbers; the first is the core, the others are its SMT siblings
  u32 package = 0;
  u32 ccx = 0;   // cores with the same number share a last-level cache
  u32 numa = 0;  // the operating system's number of the nearest node
};

struct NumaNode {
  u32 node = 0;
  u64 memory_bytes = 0;  // 0: not known
  std::vector<u32> cores;
};

class Topology {
 public:
  // The machine this runs on, without the cpus that a cgroup or affinity mask keeps from it; or, for plans and tests,
  // the one that an hwloc synthetic description names, e.g. "pack:1 numa:2 l3:4 core:6 pu:2".
  static Outcome<Topology> load(const std::optional<std::string>& synthetic = {});

  const std::vector<Core>& cores() const { return cores_; }
  const std::vector<NumaNode>& numa_nodes() const { return numa_nodes_; }
  u32 packages() const { return packages_; }
  u32 ccx_count() const { return ccx_count_; }
  u32 cpu_count() const;
  bool synthetic() const { return synthetic_; }

 private:
  std::vector<Core> cores_;
  std::vector<NumaNode> numa_nodes_;
  u32 packages_ = 0;
  u32 ccx_count_ = 0;
  bool synthetic_ = false;
};

// How tightly a generator is tied down: to its core, to the cores that share its last-level cache, to its NUMA node, to
// listed cpus (one generator each), or not at all.
enum class PinMode { core, ccx, numa, list, none };

struct PinRequest {
  PinMode mode = PinMode::core;
  std::vector<u32> cpus;       // for list
  bool smt_siblings = false;   // also use the second and further hardware threads of a core
  bool bind_memory = true;     // allocate from the generator's node
};

// "core", "ccx", "numa", "none", "list=0,2,4-7". Failure request: anything else.
Outcome<PinRequest> parse_pin(std::string_view text);

struct Pin {
  u32 generator = 0;
  u32 core = 0;            // Core::index
  std::vector<u32> cpus;   // where it may run; empty: anywhere
  u32 ccx = 0;
  u32 numa = 0;
  bool bind_memory = false;
};

struct PinPlan {
  PinRequest request;
  std::vector<Pin> pins;  // one for each generator
  // Where a client with a thread of its own runs. Clients are dealt round-robin, one generator each while they last. When
  // there are more of them, the scheduler deals with those of a NUMA node on all cpus that the plan has there: tied to one
  // cpu each, a cpu whose clients all wait in the kernel would stay idle. Precondition: the plan is not empty.
  Pin for_client(u32 client, u32 clients) const;
  // Every cpu that the plan names; empty: any.
  std::vector<u32> cpus() const;
};

// One generator for each core (each hardware thread with smt_siblings, each cpu of a list). `generators_max` cuts the
// plan short; 0 means no limit. Failure request: a listed cpu does not exist, or is listed twice.
Outcome<PinPlan> plan_pins(const Topology& topology, const PinRequest& request, u32 generators_max = 0);

// Ties the calling thread, and what it allocates from now on, to `pin`. Precondition: the plan is of a real topology.
Action apply_pin(const Pin& pin);

// "0-3,8": ascending numbers with runs folded.
std::string to_cpu_list(std::vector<u32> cpus);

// What `cowbench topo` prints, and its --json ("schema":"cowbench.topo/1").
std::string to_text(const Topology& topology, const PinPlan& plan);
std::string to_json(const Topology& topology, const PinPlan& plan);
std::string_view to_text(PinMode mode);

}  // namespace cowbench::harness
