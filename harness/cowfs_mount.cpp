#include "harness/cowfs_mount.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "engine/runtime/sync.h"
#include "harness/byte_size.h"
#include "harness/command.h"
#include "harness/device_identity.h"

namespace cowbench::harness {
namespace {

using cowfs::Task;

constexpr u64 phase_poll_ns = 1'000'000;
constexpr u64 end_limit_ns = 120'000'000'000;  // for all clients to delete their files

Failure engine_failure(std::string_view action, const cowfs::Error& error) {
  return {FailureKind::failed, fmt::format("cowfs {}: {}", action, cowfs::to_text(error)), ""};
}

// Each client's coroutine holds a share of what all use, so a client that never comes back finds it intact.
struct ClientsShared {
  std::unique_ptr<RoundMemory> memory;
  CowfsClient function;
  std::atomic<u32> running{0};
};

Task<void> run_client(std::shared_ptr<ClientsShared> shared, cowfs::Filesystem* filesystem, u32 client, u32 core) {
  co_await shared->function(*filesystem, *shared->memory, client, core);
  shared->running.fetch_sub(1, std::memory_order_release);
}

// Both lists name the same kinds in the same order.
std::vector<results::EngineActivity> activities_since(const std::vector<cowfs::Activity>& before,
                                                      const std::vector<cowfs::Activity>& now) {
  std::vector<results::EngineActivity> activities;
  for (std::size_t i = 0; i < now.size(); ++i) {
    assert(now[i].name == before[i].name);
    cowfs::Totals moved = now[i].totals;
    moved.count -= before[i].totals.count;
    moved.bytes -= before[i].totals.bytes;
    for (u32 bucket = 0; bucket < cowfs::latency_buckets; ++bucket)
      moved.latencies[bucket] -= before[i].totals.latencies[bucket];
    if (moved.count == 0) continue;
    results::EngineActivity& activity = activities.emplace_back();
    activity = {.name = now[i].name, .count = moved.count, .bytes = moved.bytes, .p50_ns = {}, .p99_ns = {}};
    if (moved.timed() == 0) continue;
    activity.p50_ns = moved.percentile_ns(0.5);
    activity.p99_ns = moved.percentile_ns(0.99);
  }
  return activities;
}

const cowfs::Totals& totals_of(const std::vector<cowfs::Activity>& activities, std::string_view name) {
  const auto found = std::ranges::find(activities, name, &cowfs::Activity::name);
  assert(found != activities.end());
  return found->totals;
}

class CowfsClients : public ClientGroup {
 public:
  CowfsClients(const RoundRequest& request, cowfs::Filesystem& filesystem, std::shared_ptr<ClientsShared> shared)
      : clients_(request.clients), filesystem_(filesystem), shared_(std::move(shared)), changes_(filesystem, request.during) {}

  Action start() override {
    for (u32 client = 0; client < clients_; ++client) {
      const u32 core = client % filesystem_.cores();
      shared_->running.fetch_add(1, std::memory_order_relaxed);
      filesystem_.start(core, [shared = shared_, filesystem = &filesystem_, client, core] {
        return run_client(shared, filesystem, client, core);
      });
    }
    return Done{};
  }

  std::optional<EngineProgress> engine_progress() override {
    const std::vector<cowfs::Activity> activities = filesystem_.activities();
    return EngineProgress{totals_of(activities, "commit").count, totals_of(activities, "checkpoint").count,
                          totals_of(activities, "device_write").bytes, totals_of(activities, "device_read").bytes};
  }
  void window_begins() override {
    activities_before_ = filesystem_.activities();
    system_calls_before_ = filesystem_.counters().system_calls;
    changes_.begin();
  }
  void window_ends() override {
    changes_.window_ends();
    activities_ = activities_since(activities_before_, filesystem_.activities());
    window_end_ = filesystem_.counters();
  }

  Action end() override {
    shared_->memory->enter(phase_cleanup);
    const u64 limit = monotonic_ns() + end_limit_ns;
    while (running() > 0) {
      if (monotonic_ns() > limit)
        return Failure{FailureKind::failed,
                       fmt::format("cowfs: {} clients do not come back after {} s", running(), end_limit_ns / 1'000'000'000),
                       ""};
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return changes_.end();
  }

  const std::vector<results::EngineActivity>& activities() const { return activities_; }
  const cowfs::Counters& window_end() const { return window_end_; }
  u64 system_calls() const { return window_end_.system_calls - system_calls_before_; }
  const std::vector<std::string>& remarks() const { return changes_.remarks(); }
  u32 running() const { return shared_->running.load(std::memory_order_acquire); }

 private:
  const u32 clients_;
  cowfs::Filesystem& filesystem_;
  const std::shared_ptr<ClientsShared> shared_;
  cowfs::Counters window_end_;
  u64 system_calls_before_ = 0;
  std::vector<cowfs::Activity> activities_before_;
  std::vector<results::EngineActivity> activities_;
  ChangesOfRound changes_;
};

// What this process has in memory now.
u64 resident_bytes() {
  std::istringstream lines(read_small_file("/proc/self/status"));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("VmRSS:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * cowfs::kib;
  return 0;
}

}  // namespace

Task<void> sleep_for(u64 duration_ns) {
  return cowfs::runtime::sleep_until(cowfs::runtime::this_reactor().now_ns() + duration_ns);
}

Task<void> wait_for_phase(RoundMemory& memory, Phase phase) {
  while (memory.control().phase.load(std::memory_order_acquire) < phase) co_await sleep_for(phase_poll_ns);
}

CowfsTargetMount::CowfsTargetMount(const CowfsOptions& options, const PinPlan& pins, u64 cache_bytes, Media* media)
    : media_(media) {
  format_.force = true;  // the harness has asked before; what is on it is the last round's
  format_.slices = static_cast<u16>(options.slices.value_or(0));
  format_.bucket_bytes = options.bucket_bytes.value_or(0);
  format_.journal_bytes = options.journal_bytes.value_or(0);
  format_.replicas = static_cast<cowfs::u8>(options.replicas.value_or(1));
  format_.erasure = options.erasure.value_or(cowfs::ErasureCoding{});
  format_.single_flush = options.single_flush.value_or(format_.single_flush ? 1 : 0) != 0;
  format_.data_checksum = options.data_checksum.value_or(format_.data_checksum);
  format_.metadata_checksum = options.metadata_checksum.value_or(format_.metadata_checksum);
  mount_.cache_bytes = options.cache_bytes.value_or(cache_bytes);
  mount_.node_cache_bytes = options.node_cache_bytes.value_or(mount_.node_cache_bytes);
  mount_.populate_cache = options.populate.value_or(1) != 0;
  mount_.discard = options.discard.value_or(0) != 0;
  mount_.spin_us = options.spin_us.value_or(mount_.spin_us);
  if (options.commit_ms) mount_.commit_interval_ns = *options.commit_ms * 1'000'000;
  mount_.pin = pins.request.mode != PinMode::none;
  for (const Pin& pin : pins.pins) {
    if (options.cores && mount_.cpus.size() == *options.cores) break;
    mount_.cpus.push_back(pin.cpus.empty() ? pin.core : pin.cpus.front());
  }
  format_.cores = static_cast<unsigned>(mount_.cpus.size());
}

CowfsTargetMount::~CowfsTargetMount() {
  if (clients_left_) static_cast<void>(filesystem_.release());  // clients still use it
}

std::vector<dev_t> CowfsTargetMount::device_numbers() const { return media_->device_numbers(); }

std::vector<std::string> CowfsTargetMount::options_text() const {
  std::vector<u32> cpus(mount_.cpus.begin(), mount_.cpus.end());
  std::vector<std::string> text = {
      fmt::format("cores={} ({} {})", cpus.size(), mount_.pin ? "pinned to cpus" : "not pinned, of cpus",
                  to_cpu_list(cpus)),
      "cache=" + size_text(mount_.cache_bytes),
      "node_cache=" + size_text(mount_.node_cache_bytes),
      fmt::format("commit_ms={}", mount_.commit_interval_ns / 1'000'000),
      fmt::format("spin_us={}", mount_.spin_us),
      fmt::format("discard={}", mount_.discard ? 1 : 0),
      fmt::format("populate={}", mount_.populate_cache ? 1 : 0)};
  if (format_.slices != 0) text.push_back(fmt::format("slices={}", format_.slices));
  if (format_.bucket_bytes != 0) text.push_back("bucket=" + size_text(format_.bucket_bytes));
  if (format_.journal_bytes != 0) text.push_back("journal=" + size_text(format_.journal_bytes));
  if (format_.erasure.data_shards > 0)
    text.push_back(fmt::format("ec={}+{}", format_.erasure.data_shards, format_.erasure.parity_shards));
  if (format_.replicas > 1) text.push_back(fmt::format("replicas={}", format_.replicas));
  text.push_back(fmt::format("single_flush={}", format_.single_flush ? 1 : 0));
  text.push_back(fmt::format("data_checksum={}", name(format_.data_checksum)));
  text.push_back(fmt::format("metadata_checksum={}", name(format_.metadata_checksum)));
  return text;
}

std::vector<std::string> CowfsTargetMount::plan(const std::vector<std::string>& devices, Keep keep) const {
  std::string options;
  for (const std::string& option : options_text()) options += (options.empty() ? "" : ", ") + option;
  std::vector<std::string> lines;
  if (keep != Keep::found) lines.push_back(fmt::format("# format {} as cowfs", fmt::join(devices, " ")));
  lines.insert(lines.end(), {fmt::format("# mount it in this process: {}", options), "# unmount"});
  return lines;
}

Action CowfsTargetMount::prepare() {
  assert(filesystem_ == nullptr && media_ != nullptr);
  if (const Action lent = media_->lend(DeviceClaim::Borrower::cowfs); !lent) return lent;
  format_.devices = mount_.devices = media_->devices();
  if (media_->is_found()) return mount();
  if (const cowfs::Status formatted = cowfs::format_devices(format_); !formatted)
    return engine_failure(fmt::format("format {}", fmt::join(media_->devices(), " ")), formatted.error());
  return mount();
}

Action CowfsTargetMount::mount() {
  auto mounted = cowfs::Filesystem::mount(mount_);
  if (!mounted) return engine_failure(fmt::format("mount {}", fmt::join(media_->devices(), " ")), mounted.error());
  filesystem_ = *std::move(mounted);
  integrity_ = filesystem_->integrity_label();
  return Done{};
}

Outcome<RoundResult> CowfsTargetMount::run(const RoundRequest& asked, CowfsClient function) {
  assert(filesystem_ != nullptr);
  if (const Action fine = check(asked); !fine) return fine.failure();
  u64 resident_max = 0;
  RoundRequest request = asked;
  request.progress = [&](const RunProgress& progress) {
    resident_max = std::max(resident_max, resident_bytes());
    if (asked.progress) asked.progress(progress);
  };
  auto memory = RoundMemory::map(request.clients, filesystem_->cores());
  if (!memory) return memory.failure();
  const auto shared = std::make_shared<ClientsShared>();
  shared->memory = std::move(*memory);
  shared->function = std::move(function);
  CowfsClients clients(request, *filesystem_, shared);
  auto result = run_phases(request, *shared->memory, clients);
  clients_left_ = clients.running() > 0;
  if (!result) return result;
  result->remarks.insert(result->remarks.end(), clients.remarks().begin(), clients.remarks().end());
  result->memory_bytes_max = resident_max;
  result->engine = clients.activities();
  result->system_calls = clients.system_calls();
  result->cached_bytes = clients.window_end().cache_bytes;
  result->node_bytes = clients.window_end().node_bytes;
  if (!result->device_moved) {
    DeviceCounters moved;
    moved.write_bytes = results::engine_activity(result->engine, "device_write").bytes;
    moved.read_bytes = results::engine_activity(result->engine, "device_read").bytes;
    moved.flushes = results::engine_activity(result->engine, "device_flush").count;
    result->device_moved = moved;
  }
  return result;
}

Outcome<FinishReport> CowfsTargetMount::unmount() {
  FinishReport report;
  if (filesystem_ == nullptr) return report;
  const std::vector<dev_t> devices = device_numbers();
  const auto before = read_device_counters(devices);
  const u64 start_ns = monotonic_ns();
  const cowfs::Status unmounted = filesystem_->unmount();
  filesystem_.reset();
  report.sync_ns = monotonic_ns() - start_ns;
  const auto after = read_device_counters(devices);
  if (before && after) report.sync_moved = *after - *before;
  if (!unmounted) return engine_failure("unmount " + media_->device(), unmounted.error());
  return report;
}

Outcome<FinishReport> CowfsTargetMount::remount() {
  assert(filesystem_ != nullptr && !clients_left_);
  auto unmounted = unmount();
  if (!unmounted) return unmounted;
  if (const Action mounted = mount(); !mounted) return mounted.failure();
  return unmounted;
}

Outcome<FinishReport> CowfsTargetMount::finish() {
  if (clients_left_) return Failure{FailureKind::failed, "cowfs: clients are still in the engine: not unmounted", ""};
  auto unmounted = unmount();
  if (const Action taken = media_->take_back(); !taken) return taken.failure();
  return unmounted;
}

}  // namespace cowbench::harness
