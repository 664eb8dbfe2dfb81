// hwloc gives the layout; the pin plan is our own arithmetic on it, so that it can be tried on machines we do not have.
// Cores are numbered in hwloc's logical order (package, then last-level cache, then core), and generators are dealt in
// that order: fewer clients than cores then fill one cache domain before they touch the next, as packed jobs do.
#include "harness/topology.h"
#include "results/counted.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hwloc.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

namespace cowbench::harness {
namespace {

struct DestroyTopology {
  void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};
using HwlocTopology = std::unique_ptr<hwloc_topology, DestroyTopology>;

std::vector<u32> to_numbers(hwloc_const_bitmap_t set) {
  std::vector<u32> numbers;
  for (int i = hwloc_bitmap_first(set); i >= 0; i = hwloc_bitmap_next(set, i)) numbers.push_back(static_cast<u32>(i));
  return numbers;
}

// The last-level cache above `core`: L3 where there is one, else the package stands in for it.
hwloc_obj_t cache_domain(hwloc_topology_t topology, hwloc_obj_t core) {
  hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_L3CACHE, core);
  if (cache == nullptr) cache = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, core);
  return cache;
}

u32 nearest_node(hwloc_obj_t core) {
  const int node = core->nodeset == nullptr ? -1 : hwloc_bitmap_first(core->nodeset);
  return node < 0 ? 0 : static_cast<u32>(node);
}

bool parse_number(std::string_view text, u32& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

constexpr u32 cpu_number_max = 1 << 16;  // a typing mistake must not ask for four thousand million generators

Outcome<std::vector<u32>> parse_cpu_list(std::string_view text) {
  std::vector<u32> cpus;
  const Failure bad{FailureKind::request, fmt::format("--pin list={}: not a list of cpus", text), "write list=0,2,4-7"};
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view part = text.substr(at, comma - at);
    const size_t dash = part.find('-');
    u32 first = 0;
    u32 last = 0;
    if (!parse_number(part.substr(0, dash), first)) return bad;
    last = first;
    if (dash != part.npos && !parse_number(part.substr(dash + 1), last)) return bad;
    if (last < first || last > cpu_number_max) return bad;
    for (u32 cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    at = comma + 1;
  }
  return cpus;
}

const Core* core_of_cpu(const Topology& topology, u32 cpu) {
  for (const Core& core : topology.cores())
    if (std::ranges::find(core.cpus, cpu) != core.cpus.end()) return &core;
  return nullptr;
}

// Where a generator whose home is `cpu` of `core` may run.
std::vector<u32> allowed_cpus(const Topology& topology, const PinRequest& request, const Core& core, u32 cpu) {
  if (request.mode == PinMode::none) return {};
  if (request.mode == PinMode::core || request.mode == PinMode::list) return {cpu};
  std::vector<u32> cpus;
  for (const Core& other : topology.cores()) {
    const bool together = request.mode == PinMode::ccx ? other.ccx == core.ccx : other.numa == core.numa;
    if (!together) continue;
    const size_t threads = request.smt_siblings ? other.cpus.size() : 1;
    cpus.insert(cpus.end(), other.cpus.begin(), other.cpus.begin() + static_cast<std::ptrdiff_t>(threads));
  }
  return cpus;
}

}  // namespace

Outcome<Topology> Topology::load(const std::optional<std::string>& synthetic) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return system_failure("hwloc: initialise", errno);
  const HwlocTopology topology(raw);
  if (synthetic && hwloc_topology_set_synthetic(raw, synthetic->c_str()) != 0) {
    return Failure{FailureKind::request, fmt::format("--synthetic \"{}\": hwloc cannot read it", *synthetic),
                   "write, for example, \"pack:1 numa:2 l3:4 core:6 pu:2\""};
  }
  if (hwloc_topology_load(raw) != 0) return system_failure("hwloc: read the machine's topology", errno);

  Topology result;
  result.synthetic_ = synthetic.has_value();
  result.packages_ = static_cast<u32>(std::max(hwloc_get_nbobjs_by_type(raw, HWLOC_OBJ_PACKAGE), 1));
  std::map<hwloc_obj_t, u32> domains;
  std::map<u32, NumaNode> nodes;
  for (hwloc_obj_t at = nullptr; (at = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_NUMANODE, at)) != nullptr;)
    nodes[at->os_index] = {at->os_index, at->attr->numanode.local_memory, {}};
  // Some virtual machines report no cores; then each hardware thread counts as one.
  const hwloc_obj_type_t unit = hwloc_get_nbobjs_by_type(raw, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  for (hwloc_obj_t at = nullptr; (at = hwloc_get_next_obj_by_type(raw, unit, at)) != nullptr;) {
    Core core;
    core.index = static_cast<u32>(result.cores_.size());
    core.cpus = to_numbers(at->cpuset);
    if (core.cpus.empty()) continue;
    const hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(raw, HWLOC_OBJ_PACKAGE, at);
    core.package = package == nullptr ? 0 : package->logical_index;
    core.ccx = domains.try_emplace(cache_domain(raw, at), static_cast<u32>(domains.size())).first->second;
    core.numa = nearest_node(at);
    nodes.try_emplace(core.numa, NumaNode{core.numa, 0, {}}).first->second.cores.push_back(core.index);
    result.cores_.push_back(std::move(core));
  }
  if (result.cores_.empty()) return Failure{FailureKind::failed, "hwloc reports no core this process may use", ""};
  result.ccx_count_ = static_cast<u32>(domains.size());
  for (auto& [number, node] : nodes) result.numa_nodes_.push_back(std::move(node));
  return result;
}

u32 Topology::cpu_count() const {
  size_t count = 0;
  for (const Core& core : cores_) count += core.cpus.size();
  return static_cast<u32>(count);
}

Outcome<PinRequest> parse_pin(std::string_view text) {
  PinRequest request;
  constexpr std::string_view list_prefix = "list=";
  if (text.starts_with(list_prefix)) {
    auto cpus = parse_cpu_list(text.substr(list_prefix.size()));
    if (!cpus) return cpus.failure();
    request.mode = PinMode::list;
    request.cpus = std::move(*cpus);
    return request;
  }
  for (const PinMode mode : {PinMode::core, PinMode::ccx, PinMode::numa, PinMode::none}) {
    if (text != to_text(mode)) continue;
    request.mode = mode;
    return request;
  }
  return Failure{FailureKind::request, fmt::format("--pin {}: unknown", text),
                 "use core, ccx, numa, none or list=0,2,4-7"};
}

Outcome<PinPlan> plan_pins(const Topology& topology, const PinRequest& request, u32 generators_max) {
  PinPlan plan{request, {}};
  const auto add = [&](const Core& core, u32 cpu) {
    if (generators_max != 0 && plan.pins.size() >= generators_max) return;
    const bool bind = request.bind_memory && request.mode != PinMode::none;
    plan.pins.push_back({static_cast<u32>(plan.pins.size()), core.index, allowed_cpus(topology, request, core, cpu),
                         core.ccx, core.numa, bind});
  };
  if (request.mode == PinMode::list) {
    std::set<u32> seen;
    for (const u32 cpu : request.cpus) {
      const Core* core = core_of_cpu(topology, cpu);
      if (core == nullptr)
        return Failure{FailureKind::request, fmt::format("--pin list: cpu {} is not available", cpu),
                       "see cowbench topo"};
      if (!seen.insert(cpu).second)
        return Failure{FailureKind::request, fmt::format("--pin list: cpu {} is named twice", cpu), ""};
      add(*core, cpu);
    }
    if (plan.pins.empty()) return Failure{FailureKind::request, "--pin list: no cpu named", "write list=0,2,4-7"};
    return plan;
  }
  for (const Core& core : topology.cores()) add(core, core.cpus.front());
  if (!request.smt_siblings) return plan;
  // Siblings come after all cores, so that a short plan still gives each generator a core of its own.
  for (size_t thread = 1; thread < topology.cpu_count(); ++thread)
    for (const Core& core : topology.cores())
      if (thread < core.cpus.size()) add(core, core.cpus[thread]);
  return plan;
}

Pin PinPlan::for_client(u32 client, u32 clients) const {
  Pin pin = pins[client % pins.size()];
  if (clients <= pins.size() || pin.cpus.empty()) return pin;
  std::set<u32> shared;
  for (const Pin& other : pins)
    if (other.numa == pin.numa) shared.insert(other.cpus.begin(), other.cpus.end());
  pin.cpus.assign(shared.begin(), shared.end());
  return pin;
}

std::vector<u32> PinPlan::cpus() const {
  std::set<u32> all;
  for (const Pin& pin : pins) all.insert(pin.cpus.begin(), pin.cpus.end());
  return {all.begin(), all.end()};
}

Action apply_pin(const Pin& pin) {
  if (!pin.cpus.empty()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const u32 cpu : pin.cpus)
      if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
      return system_failure(fmt::format("pin generator {} to cpus {}", pin.generator, to_cpu_list(pin.cpus)), errno);
  }
  if (!pin.bind_memory) return Done{};
  unsigned long mask[16] = {};
  constexpr u32 bits = 8 * sizeof mask[0];
  if (pin.numa >= bits * std::size(mask)) return Done{};
  mask[pin.numa / bits] |= 1ul << (pin.numa % bits);
  // PREFERRED, not BIND: a node that is full slows a run down, it must not kill it. ENOSYS is a kernel without NUMA.
  const long status = syscall(SYS_set_mempolicy, MPOL_PREFERRED, mask, bits * std::size(mask));
  if (status != 0 && errno != ENOSYS) return system_failure(fmt::format("bind memory to node {}", pin.numa), errno);
  return Done{};
}

std::string to_cpu_list(std::vector<u32> cpus) {
  std::ranges::sort(cpus);
  std::string text;
  for (size_t first = 0; first < cpus.size();) {
    size_t last = first;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += first == last ? fmt::format("{}", cpus[first]) : fmt::format("{}-{}", cpus[first], cpus[last]);
    first = last + 1;
  }
  return text;
}

std::string_view to_text(PinMode mode) {
  switch (mode) {
    case PinMode::core: return "core";
    case PinMode::ccx: return "ccx";
    case PinMode::numa: return "numa";
    case PinMode::list: return "list";
    case PinMode::none: return "none";
  }
  return "?";
}

std::string to_text(const Topology& topology, const PinPlan& plan) {
  std::string text = fmt::format("{}{}, {}, {}, {}, {}\n", topology.synthetic() ? "synthetic: " : "",
                                 results::counted(topology.packages(), "package"),
                                 results::counted(topology.numa_nodes().size(), "NUMA node"),
                                 results::counted(topology.ccx_count(), "last-level cache"), results::counted(topology.cores().size(), "core"),
                                 results::counted(topology.cpu_count(), "cpu"));
  for (const NumaNode& node : topology.numa_nodes()) {
    text += fmt::format("node {}: {}, {:.1f} GiB\n", node.node, results::counted(node.cores.size(), "core"),
                        static_cast<double>(node.memory_bytes) / cowfs::gib);
  }
  text += fmt::format("\npin {}, SMT siblings {}: {}\n", to_text(plan.request.mode),
                      plan.request.smt_siblings ? "used" : "skipped", results::counted(plan.pins.size(), "generator"));
  text += "generator  core  ccx  node  cpus\n";
  for (const Pin& pin : plan.pins) {
    text += fmt::format("{:>9}  {:>4}  {:>3}  {:>4}  {}\n", pin.generator, pin.core, pin.ccx, pin.numa,
                        pin.cpus.empty() ? "any" : to_cpu_list(pin.cpus));
  }
  return text;
}

std::string to_json(const Topology& topology, const PinPlan& plan) {
  using nlohmann::json;
  json cores = json::array();
  for (const Core& core : topology.cores()) {
    cores.push_back({{"core", core.index}, {"cpus", core.cpus}, {"package", core.package},
                     {"ccx", core.ccx}, {"numa_node", core.numa}});
  }
  json nodes = json::array();
  for (const NumaNode& node : topology.numa_nodes())
    nodes.push_back({{"numa_node", node.node}, {"memory_bytes", node.memory_bytes}, {"cores", node.cores}});
  json pins = json::array();
  for (const Pin& pin : plan.pins) {
    pins.push_back({{"generator", pin.generator}, {"core", pin.core}, {"ccx", pin.ccx}, {"numa_node", pin.numa},
                    {"cpus", pin.cpus}, {"memory_bound", pin.bind_memory}});
  }
  const json document = {{"schema", "cowbench.topo/1"}, {"synthetic", topology.synthetic()},
                         {"packages", topology.packages()}, {"ccx_count", topology.ccx_count()},
                         {"cpus", topology.cpu_count()}, {"cores", cores}, {"numa_nodes", nodes},
                         {"pin", {{"mode", to_text(plan.request.mode)},
                                  {"smt_siblings", plan.request.smt_siblings}, {"generators", pins}}}};
  return document.dump(2);
}

}  // namespace cowbench::harness
