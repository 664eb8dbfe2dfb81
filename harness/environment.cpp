#include "harness/environment.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "harness/command.h"
#include "harness/device_identity.h"

namespace cowbench::harness {
namespace {

// The active word of "always [madvise] never", or the whole line.
std::string active_word(const std::string& line) {
  const size_t open = line.find('[');
  const size_t close = line.find(']');
  return open == line.npos || close == line.npos || close < open ? line : line.substr(open + 1, close - open - 1);
}

std::string joined(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// Only parameters that change speed: the rest of a command line names disks, addresses and keys, and reports are
// published.
std::string telling_parameters(const std::string& command_line) {
  constexpr std::string_view telling[] = {
      "mitigations", "isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity", "nosmt", "maxcpus", "preempt", "clocksource",
      "tsc",
      "idle", "processor.max_cstate", "intel_idle.max_cstate", "intel_pstate", "amd_pstate", "cpufreq.default_governor",
      "transparent_hugepage", "hugepagesz", "hugepages", "default_hugepagesz", "numa_balancing", "iommu", "intel_iommu",
      "amd_iommu", "nvme.poll_queues", "nvme_core.default_ps_max_latency_us", "nopti", "pti", "spectre_v2", "retbleed"};
  std::string kept;
  std::istringstream words(command_line);
  for (std::string word; words >> word;)
    if (std::ranges::count(telling, std::string_view(word).substr(0, word.find('='))) > 0)
      kept += (kept.empty() ? "" : " ") + word;
  return kept.empty() ? "none that matter" : kept;
}

// The value of "name : value" or "name: value kB".
std::string field_of(const std::string& text, std::string_view name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    const size_t colon = line.find(':');
    if (colon == line.npos || line.substr(0, colon).find_last_not_of(" \t") + 1 != name.size()) continue;
    const size_t first = line.find_first_not_of(" \t", colon + 1);
    return first == line.npos ? "" : line.substr(first);
  }
  return "";
}

std::optional<double> number_in(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} ? std::optional(number) : std::nullopt;
}

struct CpuTicks {
  double busy = 0, steal = 0, all = 0;
};

CpuTicks cpu_ticks(const std::string& root) {
  std::istringstream line(read_first_line(root + "/proc/stat"));
  std::string word;
  line >> word;
  CpuTicks ticks;
  double value = 0;
  for (int column = 0; column < 8 && line >> value; ++column) {
    ticks.all += value;
    const bool idle = column == 3 || column == 4;
    if (column == 7) ticks.steal = value;
    else if (!idle) ticks.busy += value;
  }
  return ticks;
}

class Capture {
 public:
  explicit Capture(const EnvironmentRequest& request) : request_(request), root_(request.root) {}

  std::vector<Fact> take() {
    kernel();
    cpu();
    memory();
    load();
    limits();
    for (const std::string& device : request_.devices) block_device(device);
    if (request_.programs) tools();
    build();
    return std::move(facts_);
  }

 private:
  void add(std::string key, std::string value) {
    facts_.push_back({std::move(key), value.empty() ? "unknown" : std::move(value)});
  }
  void add_file(std::string key, const std::string& path) { add(std::move(key), read_first_line(root_ + path)); }

  void kernel() {
    add_file("kernel.release", "/proc/sys/kernel/osrelease");
    add_file("kernel.version", "/proc/sys/kernel/version");
    add("kernel.parameters", telling_parameters(read_first_line(root_ + "/proc/cmdline")));
    add_file("kernel.clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    const std::string directory = root_ + "/sys/devices/system/cpu/vulnerabilities";
    std::string mitigations;
    for (const std::string& name : list_directory(directory)) {
      const std::string state = read_first_line(directory + "/" + name);
      if (state != "Not affected") mitigations += fmt::format("{}{}: {}", mitigations.empty() ? "" : "; ", name, state);
    }
    add("kernel.mitigations", mitigations.empty() ? "none needed" : mitigations);
  }

  void cpu() {
    const std::string info = read_small_file(root_ + "/proc/cpuinfo");
    add("cpu.model", field_of(info, "model name"));
    add("cpu.microcode", field_of(info, "microcode"));
    std::set<std::string> present;
    bool virtual_machine = false;
    const std::set<std::string> wanted = {"sse4_2", "avx2",     "avx512f", "avx512vl",  "vpclmulqdq", "pclmulqdq",
                                          "gfni",   "sha_ni",   "vaes",    "constant_tsc", "nonstop_tsc"};
    std::istringstream flags(field_of(info, "flags"));
    for (std::string flag; flags >> flag;) {
      if (wanted.contains(flag)) present.insert(flag);
      virtual_machine = virtual_machine || flag == "hypervisor";
    }
    add("cpu.flags", present.empty() ? "unknown" : joined(present));
    add("machine.virtual", virtual_machine ? "yes" : "no");
    add_file("cpu.online", "/sys/devices/system/cpu/online");
    std::set<std::string> governors;
    const std::string cpus = root_ + "/sys/devices/system/cpu/";
    for (const std::string& name : list_directory(cpus)) {
      const std::string governor = read_first_line(cpus + name + "/cpufreq/scaling_governor");
      if (!governor.empty()) governors.insert(governor);
    }
    add("cpu.governor", governors.empty() ? "none" : joined(governors));
    const std::string no_turbo = read_first_line(root_ + "/sys/devices/system/cpu/intel_pstate/no_turbo");
    const std::string boost = read_first_line(root_ + "/sys/devices/system/cpu/cpufreq/boost");
    const bool turbo = no_turbo.empty() ? boost == "1" : no_turbo == "0";
    add("cpu.turbo", no_turbo.empty() && boost.empty() ? "unknown" : turbo ? "on" : "off");
    const std::string smt = read_first_line(root_ + "/sys/devices/system/cpu/smt/active");
    add("cpu.smt", smt.empty() ? "unknown" : smt == "1" ? "on" : "off");
    const std::string isolated = read_first_line(root_ + "/sys/devices/system/cpu/isolated");
    add("cpu.isolated", isolated.empty() ? "none" : isolated);
    add_file("numa.online", "/sys/devices/system/node/online");
    add_file("numa.balancing", "/proc/sys/kernel/numa_balancing");
  }

  void memory() {
    const std::string info = read_small_file(root_ + "/proc/meminfo");
    add("memory.total", field_of(info, "MemTotal"));
    add("memory.available", field_of(info, "MemAvailable"));
    add("memory.swap_total", field_of(info, "SwapTotal"));
    add("memory.swap_free", field_of(info, "SwapFree"));
    add("memory.huge_pages", field_of(info, "HugePages_Total"));
    add("memory.thp", active_word(read_first_line(root_ + "/sys/kernel/mm/transparent_hugepage/enabled")));
    for (const char* name : {"dirty_ratio", "dirty_background_ratio",
                             "dirty_expire_centisecs", "dirty_writeback_centisecs"})
      add_file(fmt::format("memory.{}", name), fmt::format("/proc/sys/vm/{}", name));
  }

  void load() {
    add_file("load.average", "/proc/loadavg");
    const CpuTicks first = cpu_ticks(root_);
    add("load.steal_percent_since_boot", first.all == 0 ? "" : fmt::format("{:.2f}", 100 * first.steal / first.all));
    if (request_.sample_ms == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(request_.sample_ms));
    const CpuTicks second = cpu_ticks(root_);
    const double all = second.all - first.all;
    add("load.foreign_cpu_percent", all <= 0 ? "" : fmt::format("{:.1f}", 100 * (second.busy - first.busy) / all));
    add("load.steal_percent", all <= 0 ? "" : fmt::format("{:.1f}", 100 * (second.steal - first.steal) / all));
  }

  void limits() {
    rlimit files = {};
    getrlimit(RLIMIT_NOFILE, &files);
    add("limit.open_files", std::to_string(files.rlim_cur));
    rlimit locked = {};
    getrlimit(RLIMIT_MEMLOCK, &locked);
    add("limit.locked_memory", locked.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(locked.rlim_cur));
    add_file("limit.io_uring_disabled", "/proc/sys/kernel/io_uring_disabled");
    add_file("limit.cgroup_cpu", "/sys/fs/cgroup/cpu.max");
    add_file("limit.cgroup_memory", "/sys/fs/cgroup/memory.max");
    add("limit.root", geteuid() == 0 ? "yes" : "no");
  }

  void block_device(const std::string& device) {
    const auto identity = identify_device(device);
    if (!identity) {
      add("device." + device, to_text(identity.failure()));
      return;
    }
    const std::string prefix = "device." + identity->real_path;
    add(prefix, to_text(*identity));
    add(prefix + ".write_cache", identity->write_cache);
    add(prefix + ".scheduler", active_word(identity->scheduler));
    add(prefix + ".nr_requests", std::to_string(identity->nr_requests));
    add(prefix + ".read_ahead_kib", std::to_string(identity->read_ahead_kib));
    if (!identity->backing_file.empty()) add(prefix + ".direct_io", identity->direct_io ? "on" : "off");
  }

  void tools() {
    for (const char* program : {"mkfs.xfs", "mkfs.ext4", "mkfs.btrfs"}) {
      std::string key = fmt::format("tool.{}", program);
      if (!find_program(program)) {
        add(std::move(key), "none");
        continue;
      }
      const auto ran = run({program, {"-V"}, 10});
      const std::string said = ran ? (ran->output.empty() ? ran->errors : ran->output) : "";
      add(std::move(key), said.substr(0, said.find('\n')));
    }
    add("tool.dbench", find_program("dbench") ? "installed" : "none");
  }

  // Which commit this program was built from: the build notes it beside the program (cmake/built_from.cmake). Where the
  // source stands by now says nothing.
  void built_from() {
    std::error_code unreadable;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", unreadable);
    std::ifstream file(program.parent_path() / "built_from");
    std::string commit, changed;
    file >> commit >> changed;
    add("build.dirty", commit.empty() ? "" : changed.empty() ? "no" : "yes");
    add("build.commit", std::move(commit));
  }

  void build() {
    built_from();
#if defined(__clang__)
    add("build.compiler", "clang " __clang_version__);
#else
    add("build.compiler", "g++ " __VERSION__);
#endif
    add("build.type", COWBENCH_BUILD_TYPE);
#if defined(__SANITIZE_ADDRESS__)
    add("build.sanitizer", "address");
#elif defined(__SANITIZE_THREAD__)
    add("build.sanitizer", "thread");
#else
    add("build.sanitizer", COWBENCH_SANITIZERS[0] == 0 ? "none" : COWBENCH_SANITIZERS);
#endif
    add("build.assertions", "on");
    add("build.paranoid", cowfs::paranoid() ? "on" : "off");
  }

  const EnvironmentRequest& request_;
  const std::string& root_;
  std::vector<Fact> facts_;
};

struct EqualRule {
  const char* key;
  const char* value;
  Severity severity;
  const char* remedy;
};
constexpr EqualRule equal_rules[] = {
    {"build.type", "Debug", Severity::unfit, "build with --preset release"},
    {"build.paranoid", "on", Severity::unfit, "unset COWFS_PARANOID"},
    {"build.dirty", "yes", Severity::note, "commit first, or the figures belong to no version"},
    {"build.commit", "unknown", Severity::note, "the figures belong to no version"},
    {"machine.virtual", "yes", Severity::note,
     "neighbours on the host are not visible here; trust ratios, not figures"},
    {"cpu.turbo", "on", Severity::note, "speed depends on temperature and on how many cores are busy"},
    {"limit.root", "no", Severity::note, "kernel filesystems cannot be made and mounted"},
};

struct AboveRule {
  const char* key;
  double limit;
  Severity severity;
  const char* remedy;
};
constexpr AboveRule above_rules[] = {
    {"load.foreign_cpu_percent", 10, Severity::unfit, "stop what else is running"},
    {"load.steal_percent", 1, Severity::unfit, "the host gives this machine's cpus to others"},
    {"load.steal_percent_since_boot", 2, Severity::note, "the host was busy at times"},
};

class Facts {
 public:
  explicit Facts(const std::vector<Fact>& facts) : facts_(facts) {}
  std::string_view operator[](std::string_view key) const {
    const auto at = std::ranges::find(facts_, key, &Fact::key);
    return at == facts_.end() ? std::string_view{} : std::string_view(at->value);
  }

 private:
  const std::vector<Fact>& facts_;
};

void lint_more(const Facts& facts, std::vector<Finding>& findings) {
  const auto report = [&](Severity severity, std::string what, std::string remedy) {
    findings.push_back({severity, std::move(what), std::move(remedy)});
  };
  const std::string_view sanitizer = facts["build.sanitizer"];
  if (!sanitizer.empty() && sanitizer != "none")
    report(Severity::unfit, fmt::format("built with the {} sanitizer", sanitizer), "build with --preset release");
  const std::string_view governor = facts["cpu.governor"];
  if (!governor.empty() && governor != "none" && governor != "performance")
    report(Severity::unfit, fmt::format("cpu.governor is {}", governor), "cpupower frequency-set -g performance");
  const std::string_view clock = facts["kernel.clocksource"];
  if (!clock.empty() && clock != "unknown" && clock != "tsc" && clock != "kvm-clock")
    report(Severity::unfit, fmt::format("the clock is {}: reading it is a system call", clock), "clocksource=tsc");
  const auto swap_total = number_in(facts["memory.swap_total"]);
  const auto swap_free = number_in(facts["memory.swap_free"]);
  if (swap_total && swap_free && *swap_free < *swap_total)
    report(Severity::note, "swap is in use", "swapoff -a; swapon -a");
  if (facts["numa.balancing"] == "1" && facts["numa.online"] != "0")
    report(Severity::note, "automatic NUMA balancing moves memory during runs", "sysctl kernel.numa_balancing=0");
  for (const char* key : {"limit.cgroup_cpu", "limit.cgroup_memory"}) {
    const std::string_view limit = facts[key];
    if (!limit.empty() && limit != "unknown" && !limit.starts_with("max"))
      report(Severity::note, fmt::format("a control group limits this process: {} is {}", key, limit), "");
  }
}

}  // namespace

std::vector<Finding> lint(const std::vector<Fact>& all) {
  const Facts facts(all);
  std::vector<Finding> findings;
  for (const EqualRule& rule : equal_rules)
    if (facts[rule.key] == rule.value)
      findings.push_back({rule.severity, fmt::format("{} is {}", rule.key, rule.value), rule.remedy});
  for (const AboveRule& rule : above_rules) {
    const auto number = number_in(facts[rule.key]);
    if (!number || *number <= rule.limit) continue;
    findings.push_back(
        {rule.severity, fmt::format("{} is {}, more than {}", rule.key, *number, rule.limit), rule.remedy});
  }
  for (const Fact& fact : all) {
    if (fact.key.starts_with("device.") && fact.key.ends_with(".direct_io") && fact.value == "off")
      findings.push_back({Severity::note, fact.key + " is off: the backing file goes through the page cache", ""});
  }
  lint_more(facts, findings);
  std::vector<Finding> worst_first;
  for (const Severity severity : {Severity::unfit, Severity::note})
    std::ranges::copy_if(findings, std::back_inserter(worst_first),
                         [&](const Finding& finding) { return finding.severity == severity; });
  return worst_first;
}

Environment capture_environment(const EnvironmentRequest& request) {
  Environment environment;
  environment.facts = Capture(request).take();
  environment.findings = lint(environment.facts);
  return environment;
}

std::string_view Environment::value(std::string_view key) const { return Facts(facts)[key]; }

bool Environment::fit() const {
  return std::ranges::none_of(findings, [](const Finding& finding) { return finding.severity == Severity::unfit; });
}

std::string to_text(const Environment& environment) {
  std::string text;
  for (const Fact& fact : environment.facts) text += fmt::format("{:<36} {}\n", fact.key, fact.value);
  text += environment.findings.empty() ? "\nnothing found that speaks against this machine\n" : "\n";
  for (const Finding& finding : environment.findings) {
    text += fmt::format("{}: {}{}{}\n", finding.severity == Severity::unfit ? "UNFIT" : "note", finding.what,
                        finding.remedy.empty() ? "" : "; ", finding.remedy);
  }
  return text;
}

std::string to_json(const Environment& environment) {
  using nlohmann::json;
  json facts = json::object();
  for (const Fact& fact : environment.facts) facts[fact.key] = fact.value;
  json findings = json::array();
  for (const Finding& finding : environment.findings) {
    findings.push_back({{"severity", finding.severity == Severity::unfit ? "unfit" : "note"},
                        {"what", finding.what}, {"remedy", finding.remedy}});
  }
  const json document = {
      {"schema", "cowbench.env/1"}, {"fit", environment.fit()}, {"facts", facts}, {"findings", findings}};
  // Kernel strings are bytes, not promised to be UTF-8.
  return document.dump(2, ' ', false, json::error_handler_t::replace);
}

}  // namespace cowbench::harness
