#include "harness/fio_workload.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "harness/core_host.h"
#include "harness/cowfs_files.h"
#include "harness/fio_client.h"
#include "harness/kernel_clients.h"
#include "harness/round_record.h"
#include "harness/stock_fio.h"

namespace cowbench::harness {
namespace {

using workloads::FioJob;

constexpr double unlimited_seconds = 3600;  // for jobs that end when they have done their size
constexpr double verify_seconds_max = 1e6;
constexpr u64 memory_bytes_max = 4 * cowfs::gib;
constexpr u64 sector_bytes = 512;

double to_seconds(u64 ns) { return static_cast<double>(ns) / 1e9; }

u64 block_bytes_max(const FioJob& job) {
  u64 bytes = 0;
  for (size_t kind = 0; kind < workloads::fio_kind_count; ++kind)
    if (job.does[kind]) bytes = std::max(bytes, job.block_sizes[kind].largest());
  return bytes;
}

bool any_verified(const std::vector<FioJob>& jobs) {
  return std::ranges::any_of(jobs, [](const FioJob& job) { return job.verify.on(); });
}

int open_flags(const FioJob& job) {
  int flags = job.writes() ? O_RDWR : O_RDONLY;
  if (job.direct) flags |= O_DIRECT;
  if (job.sync_each) flags |= O_SYNC;
  if (job.data_sync_each) flags |= O_DSYNC;
  return flags;
}

// A client that the kernel runs: its own thread, and an io_uring that resumes its lanes.
class UringHost : public KernelHost {
 public:
  UringHost(RoundMemory& memory, u32 client, UringFiles& files) : KernelHost(memory, client), files_(files) {}
  UringFiles::Sleep sleep_until(u64 deadline_ns) { return files_.sleep_until(deadline_ns); }

 private:
  UringFiles& files_;
};

// Answers at once and stores nothing.
struct NullFiles {
  Ready<i64> read(u32, MutableByteSpan into, u64) { return {static_cast<i64>(into.size())}; }
  Ready<i64> write(u32, ByteSpan from, u64) { return {static_cast<i64>(from.size())}; }
  Ready<i64> trim(u32, u64, u64) { return {0}; }
  Ready<i64> sync(u32, bool) { return {0}; }
};
struct NullHost : KernelHost {
  using KernelHost::KernelHost;
  Ready<void> sleep_until(u64) { return {}; }
};

// Lanes wait for the device in most operations, so one that has had its time stands in line with what is ready; behind
// everything, one a turn, most of a deep queue would wait there.
class FioCoreHost : public CoreHost {
 public:
  using CoreHost::CoreHost;
  struct LaneTurn : Turn {
    void await_suspend(std::coroutine_handle<> lane) const noexcept {
      clock.turn_began_ns = clock.last_ns;
      cowfs::runtime::this_reactor().schedule(lane);
    }
  };
  LaneTurn turn() { return {CoreHost::turn()}; }
  cowfs::Task<void> sleep_until(u64 deadline_ns) {
    const u64 now = now_ns();
    if (deadline_ns > now) return sleep(deadline_ns - now);
    return sleep(0);
  }
};

// Nothing that is clean stays cached, as with fio's invalidate=1.
Outcome<std::vector<OpenedFile>> open_files(const FioJob& job, u32 clone, const std::string& directory) {
  std::vector<OpenedFile> files;
  for (const FioPath& file : fio_paths(job, clone)) {
    const std::string path = directory + file.path;
    const int descriptor = open(path.c_str(), open_flags(job) | O_CLOEXEC);
    if (descriptor < 0) {
      const Failure failure = system_failure("open " + path, errno);
      for (const OpenedFile& opened : files) close(opened.descriptor);
      return failure;
    }
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    files.push_back({descriptor, 0});
  }
  return files;
}

Outcome<std::vector<OpenedFile>> open_device(const FioJob& job, u32 clone, const std::string& device,
                                             const DeviceLayout& layout) {
  std::vector<OpenedFile> files;
  for (const FioPath& file : fio_paths(job, clone)) {
    const int descriptor = open(device.c_str(), open_flags(job) | O_CLOEXEC);
    if (descriptor < 0) return system_failure("open " + device, errno);
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    files.push_back({descriptor, layout.base(file.path)});
  }
  return files;
}

template <typename Client, typename Open>
void run_kernel_client(const FioClientOptions& options, const RoundRequest& round, u32 client, RoundMemory& memory, Open open) {
  ClientSlot& slot = memory.slot(client);
  if (const Action pinned = apply_pin_of(round, client); !pinned) return slot.fail(to_text(pinned.failure()));
  auto buffers = IoMemory::map(options.job->depth, block_bytes_max(*options.job));
  if (!buffers) return slot.fail(to_text(buffers.failure()));
  Outcome<std::vector<OpenedFile>> opened = open();
  if (!opened) return slot.fail(to_text(opened.failure()));
  auto files = UringFiles::create(std::move(*opened), buffers->whole(), options.job->depth);
  if (!files) return slot.fail(to_text(files.failure()));
  UringHost host(memory, client, **files);
  Client fio(options, **files, host, *buffers);
  go_through_phases(memory, slot, [&] {
    const Action ran = (*files)->run(fio.run());
    return ran ? fio.failure() : to_text(ran.failure());
  });
}

template <typename Charge, typename Client>
cowfs::Task<void> run_cowfs_client(cowfs::Filesystem& filesystem, RoundMemory& memory, FioClientOptions options, u32 client,
                                   u32 core, CoreClock& clock) {
  ClientSlot& slot = memory.slot(client);
  const auto buffers = IoMemory::map(options.job->depth, block_bytes_max(*options.job));
  if (!buffers) {
    slot.fail(to_text(buffers.failure()));
    co_return;
  }
  CowfsFiles<Charge> files(filesystem);
  for (const FioPath& file : fio_paths(*options.job, options.clone)) {
    const i64 opened = co_await files.open(file.path, open_flags(*options.job));
    if (opened >= 0) continue;
    slot.fail(fmt::format("open {}: {}", file.path, std::strerror(static_cast<int>(-opened))));
    co_return;
  }
  FioCoreHost host(memory, client, core, clock);
  const auto fio = std::make_unique<Client>(options, files, host, *buffers);
  const auto run = [&fio]() -> cowfs::Task<std::string> {
    co_await fio->run();
    co_return fio->failure();
  };
  const auto end = [&files] { return files.close(); };
  co_await go_through_phases_on_core(memory, slot, run, end);
}

// Where each file begins when the target is a device, nothing when it is a directory.
Outcome<std::optional<DeviceLayout>> find_layout(const KernelTarget& target, const std::vector<FioJob>& jobs) {
  if (!target.is_device()) return std::optional<DeviceLayout>();
  auto planned = DeviceLayout::plan(jobs, target.device_bytes());
  if (!planned) return planned.failure();
  return std::optional<DeviceLayout>(std::move(*planned));
}

// The jobs' files as a round needs them.
Outcome<std::optional<DeviceLayout>> lay_out(const KernelTarget& target, const std::vector<FioJob>& jobs) {
  if (!target.is_device())
    if (const Action laid_out = lay_out_in_directory(target.directory(), all_fio_paths(jobs)); !laid_out)
      return laid_out.failure();
  return find_layout(target, jobs);
}

// Ends when everything is read; nothing is warmed up.
RoundRequest verify_round(RoundRequest round) {
  round.seconds = verify_seconds_max;
  round.warmup_seconds = 0;
  round.warm_until_all_move = false;
  return round;
}

// A part of a file that a clone writes or trims.
struct WrittenRegion {
  std::string path;
  u64 begin = 0, end = 0;
  std::string writer;
  bool verified = false;
};

// What two writers do to one part of a file cannot be told apart afterwards: two that meet where one is to be verified.
// `regions` are sorted by path and begin.
std::optional<std::pair<WrittenRegion, WrittenRegion>> find_meeting(const std::vector<WrittenRegion>& regions) {
  const WrittenRegion* furthest = nullptr;           // so far in this file
  const WrittenRegion* furthest_verified = nullptr;
  for (const WrittenRegion& region : regions) {
    const auto reaches = [&](const WrittenRegion* before) {
      return before != nullptr && before->path == region.path && before->end > region.begin;
    };
    if (region.verified && reaches(furthest)) return std::pair(region, *furthest);
    if (reaches(furthest_verified)) return std::pair(*furthest_verified, region);
    if (!reaches(furthest) || region.end > furthest->end) furthest = &region;
    if (region.verified && (!reaches(furthest_verified) || region.end > furthest_verified->end)) furthest_verified = &region;
  }
  return {};
}

}  // namespace

std::vector<FioLoad> fio_loads(const std::string& file, std::vector<FioJob> jobs) {
  std::vector<FioLoad> loads;
  for (FioJob& job : jobs) {
    if (loads.empty() || job.stonewall) loads.push_back({file, {}});
    loads.back().jobs.push_back(std::move(job));
  }
  return loads;
}

FioWorkload::FioWorkload(FioLoad load) : load_(std::move(load)) {
  for (const FioJob& job : load_.jobs)
    for (u32 clone = 0; clone < job.clones; ++clone) clones_.push_back({&job, clone});
}

std::string FioWorkload::name() const {
  std::string names;
  for (const FioJob& job : load_.jobs) names += (names.empty() ? "" : ", ") + job.name;
  return fmt::format("fio {}: {}", load_.file.substr(load_.file.rfind('/') + 1), names);
}

std::string FioWorkload::payload() const {
  return std::ranges::all_of(load_.jobs, &FioJob::zero_buffers) ? "zero" : "random";
}

double FioWorkload::seconds() const {
  u64 longest_ns = 0;
  for (const FioJob& job : load_.jobs) {
    if (job.runtime_ns == 0) return unlimited_seconds;
    longest_ns = std::max(longest_ns, job.runtime_ns + job.start_delay_ns);
  }
  return to_seconds(longest_ns);
}

std::optional<double> FioWorkload::warmup_seconds() const {
  return to_seconds(std::ranges::max(load_.jobs, {}, &FioJob::ramp_ns).ramp_ns);
}

u64 FioWorkload::runtime_ns(const FioJob& job) const {
  if (job.runtime_ns == 0) return 0;
  const u64 whole_ns = static_cast<u64>((seconds() + *warmup_seconds()) * 1e9);
  const u64 own_ns = job.runtime_ns + job.ramp_ns;
  return own_ns + job.start_delay_ns >= whole_ns ? 0 : own_ns;
}

// As much as the files have, and some: buffered jobs then compare with a kernel that caches them whole, too.
u64 FioWorkload::default_cache_bytes() const {
  u64 bytes = 0;
  for (const FioPath& file : all_fio_paths(load_.jobs)) bytes += file.bytes;
  const bool buffered = !std::ranges::all_of(load_.jobs, &FioJob::direct);
  return buffered ? bytes + 512 * cowfs::mib : 512 * cowfs::mib;
}

Action FioWorkload::check() const {
  u64 memory = 0;
  for (const FioJob& job : load_.jobs) {
    memory += u64{job.clones} * job.depth * block_bytes_max(job);
    u64 units = job.block_align | job.offset.bytes | job.offset_increment.bytes;
    for (size_t kind = 0; kind < workloads::fio_kind_count; ++kind)
      if (job.does[kind]) units |= job.block_sizes[kind].smallest() | (job.unaligned_sizes ? 1 : 0);
    if (job.direct && units % sector_bytes != 0)
      return Failure{FailureKind::request, fmt::format("job {}: direct=1 with blocks that are no multiples of {} bytes (EINVAL)",
                                                       job.name, sector_bytes),
                     "change bs, ba or offset, or use direct=0"};
  }
  if (memory > memory_bytes_max)
    return Failure{FailureKind::request, fmt::format("the jobs' buffers take {} bytes", memory), "use a smaller depth or block size"};
  if (Action fine = check_verify(); !fine) return fine;
  if (Action fine = check_steady(); !fine) return fine;
  RoundRequest round;
  round.clients = clients();
  round.seconds = seconds();
  return harness::check(round);
}

// One rule for the jobs that run together, which then go on until it holds.
Action FioWorkload::check_steady() const {
  const auto refuse = [](const FioJob& job, const char* what, const char* remedy) {
    return Failure{FailureKind::request, fmt::format("job {}: {}", job.name, what), remedy};
  };
  const FioJob& first = load_.jobs.front();
  for (const FioJob& job : load_.jobs) {
    if (job.steady != first.steady) return refuse(job, "another steadystate than the job it runs with", "give both the same");
    if (!job.steady.on() && load_.precondition_seconds == 0) continue;
    if (!job.time_based || job.runtime_ns == 0 || job.runtime_ns != first.runtime_ns || job.start_delay_ns > 0)
      return refuse(job, "may be over before the load is steady", "give all jobs that run together time_based and the same runtime=");
  }
  return Done{};
}

Action FioWorkload::check_verify() const {
  const auto only = [](const FioJob& job) { return job.verify.only; };
  if (std::ranges::any_of(load_.jobs, only)) {
    if (!std::ranges::all_of(load_.jobs, only))
      return Failure{FailureKind::request, "verify_only=1 of some of the jobs that run together", "give it to all of them"};
    if (load_.kept.empty())
      return Failure{FailureKind::request, "verify_only=1 reads back what an earlier run has kept", "name it with --keep"};
  } else if (!load_.kept.empty() && !any_verified(load_.jobs)) {
    return Failure{FailureKind::request, "--keep is for jobs with verify=", ""};
  }
  std::vector<WrittenRegion> regions;
  for (const auto& [job, number] : clones_) {
    if (!job->writes()) continue;
    const std::string writer = fmt::format("job {}, clone {}", job->name, number);
    for (const FioPath& file : fio_paths(*job, number))
      regions.push_back({file.path, fio_region_begin(*job, number), file.bytes, writer, job->verify.on()});
  }
  std::ranges::sort(regions, {}, [](const WrittenRegion& region) { return std::pair(region.path, region.begin); });
  const auto meeting = find_meeting(regions);
  if (!meeting) return Done{};
  return Failure{FailureKind::request,
                 fmt::format("{}: verify= cannot tell its blocks in {} from those of {}", meeting->first.writer,
                             meeting->first.path, meeting->second.writer),
                 "give each a file of its own, or use offset_increment"};
}

std::vector<std::string> FioWorkload::plan() const {
  std::vector<std::string> lines;
  for (const FioJob& job : load_.jobs) {
    lines.push_back(fmt::format("job {} ({}:{}), {} clones, depth {}: {}", job.name, job.place.file, job.place.line, job.clones,
                                job.depth, fio_command_line(job)));
    for (const std::string& moot : job.moot) lines.push_back("  no effect: " + moot);
  }
  for (const FioPath& file : all_fio_paths(load_.jobs)) lines.push_back(fmt::format("  lays out {}, {} bytes", file.path, file.bytes));
  return lines;
}

std::vector<std::string> FioWorkload::caveats() const {
  std::vector<std::string> caveats;
  for (const FioJob& job : load_.jobs)
    for (const std::string& moot : job.moot) caveats.push_back(fmt::format("job {}: no effect: {}", job.name, moot));
  return caveats;
}

std::vector<std::string> FioWorkload::kernel_notes() const {
  return {"clients are processes with an io_uring each, files and buffers registered"};
}

// When its warm-up and its window end.
void FioWorkload::set_ends(RoundRequest& round) const {
  round.warm_until_all_move = false;
  round.steady = load_.jobs.front().steady;
  round.precondition_seconds = load_.precondition_seconds;
}

Outcome<RoundResult> FioWorkload::run(CowfsTargetMount& target, RoundRequest round, u64 seed, bool system_call_charge) const {
  round.devices = target.device_numbers();
  set_ends(round);
  std::map<std::string, bool> made;
  for (u32 client = 0; client < clients(); ++client) {
    std::vector<FioPath> files;
    for (const FioPath& file : all_fio_paths(load_.jobs)) {
      const auto own = fio_paths(*clones_[client].job, clones_[client].number);
      if (std::ranges::find(own, file.path, &FioPath::path) == own.end() || made[file.path]) continue;
      made[file.path] = true;
      files.push_back(file);
    }
    if (const Action laid_out = lay_out_on_cowfs(target.filesystem(), client % target.cores(), files); !laid_out)
      return laid_out.failure();
  }
  if (const Action begun = begin_progress(seed); !begun) return begun.failure();
  using Plain = FioClient<CowfsFiles<NoCharge>, FioCoreHost>;
  using Charged = FioClient<CowfsFiles<SystemCallCharge>, FioCoreHost>;
  return target.run(round, system_call_charge ? cowfs_client<SystemCallCharge, Charged>(target.cores(), seed)
                                              : cowfs_client<NoCharge, Plain>(target.cores(), seed));
}

template <typename Charge, typename Client>
CowfsClient FioWorkload::cowfs_client(u32 cores, u64 seed) const {
  const auto clocks = std::make_shared<std::vector<CoreClock>>(cores);
  return [this, clocks, seed](cowfs::Filesystem& filesystem, RoundMemory& memory, u32 client, u32 core) {
    return run_cowfs_client<Charge, Client>(filesystem, memory, client_options(client, seed), client, core, (*clocks)[core]);
  };
}

Outcome<RoundResult> FioWorkload::run(KernelTarget& target, RoundRequest round, u64 seed) const {
  round.devices = target.device_numbers();
  set_ends(round);
  const auto layout = lay_out(target, load_.jobs);
  if (!layout) return layout.failure();
  if (const Action begun = begin_progress(seed); !begun) return begun.failure();
  return run_on_kernel<FioClient<UringFiles, UringHost>>(target, round, seed, *layout);
}

template <typename Client>
Outcome<RoundResult> FioWorkload::run_on_kernel(KernelTarget& target, const RoundRequest& round, u64 seed,
                                                const std::optional<DeviceLayout>& layout) const {
  return run_kernel_clients(round, ClientMode::processes, [&](u32 client, RoundMemory& memory) {
    const Clone& clone = clones_[client];
    run_kernel_client<Client>(client_options(client, seed), round, client, memory, [&] {
      return layout ? open_device(*clone.job, clone.number, target.directory(), *layout)
                    : open_files(*clone.job, clone.number, target.directory());
    });
  });
}

Outcome<RoundResult> FioWorkload::run_on_nothing(RoundRequest round, u64 seed) const {
  set_ends(round);
  if (const Action begun = begin_progress(seed); !begun) return begun.failure();
  return run_kernel_clients(round, ClientMode::processes, [&](u32 client, RoundMemory& memory) {
    FioClientOptions options = client_options(client, seed);
    FioJob job = *options.job;
    job.verify.backlog = 0;  // there is nothing to read back
    options.job = &job;
    ClientSlot& slot = memory.slot(client);
    if (const Action pinned = apply_pin_of(round, client); !pinned) return slot.fail(to_text(pinned.failure()));
    auto buffers = IoMemory::map(job.depth, block_bytes_max(job));
    if (!buffers) return slot.fail(to_text(buffers.failure()));
    NullFiles files;
    NullHost host(memory, client);
    FioClient<NullFiles, NullHost> fio(options, files, host, *buffers);
    go_through_phases(memory, slot, [&] {
      run_ready(fio.run());
      return fio.failure();
    });
  });
}

Action FioWorkload::begin_progress(u64 seed) const {
  if (!any_verified(load_.jobs)) return Done{};
  auto progress = load_.kept.empty() ? FioProgress::create(load_.jobs, seed) : FioProgress::keep(load_.kept, load_.jobs, seed);
  if (!progress) return progress.failure();
  progress_ = std::move(*progress);
  return Done{};
}

// Of an earlier run, if this one has not written.
Action FioWorkload::find_progress() const {
  if (progress_ != nullptr) return Done{};
  auto progress = FioProgress::open(load_.kept, load_.jobs);
  if (!progress) return progress.failure();
  progress_ = std::move(*progress);
  return Done{};
}

FioClientOptions FioWorkload::client_options(u32 client, u64 seed) const {
  const Clone& clone = clones_[client];
  FioClientOptions options{clone.job, clone.number, seed, runtime_ns(*clone.job)};
  if (progress_ != nullptr) options.progress = progress_->clone(client);
  return options;
}

const Verification* FioWorkload::verification() const { return any_verified(load_.jobs) ? this : nullptr; }

Verification::When FioWorkload::when() const {
  if (load_.jobs.front().verify.only) return When::instead;
  const bool any = std::ranges::any_of(load_.jobs, [](const FioJob& job) { return job.verify.reads_back(); });
  return any ? When::after_round : When::never;
}

void FioWorkload::settle() const {
  if (progress_ != nullptr) progress_->settle();
}

Outcome<RoundResult> FioWorkload::verify(CowfsTargetMount& target, RoundRequest round) const {
  using Verifier = FioVerifier<CowfsFiles<NoCharge>, FioCoreHost>;
  if (const Action found = find_progress(); !found) return found.failure();
  return target.run(verify_round(std::move(round)), cowfs_client<NoCharge, Verifier>(target.cores(), progress_->round_seed()));
}

Outcome<RoundResult> FioWorkload::verify(KernelTarget& target, RoundRequest round) const {
  if (const Action found = find_progress(); !found) return found.failure();
  const auto layout = find_layout(target, load_.jobs);
  if (!layout) return layout.failure();
  return run_on_kernel<FioVerifier<UringFiles, UringHost>>(target, verify_round(std::move(round)), progress_->round_seed(), *layout);
}

results::MetricValues FioWorkload::metrics(const RoundResult& measured) const {
  results::MetricValues metrics;
  metrics["iops"] = measured.ops_s;
  metrics["bandwidth_mb_s"] = measured.throughput_mb_s;
  const auto percentiles = [&](const char* prefix, FioLatency first, FioLatency last) {
    results::HistogramCounts all = {};
    for (size_t kind = static_cast<size_t>(first); kind <= static_cast<size_t>(last); ++kind) all.merge(measured.latency[kind]);
    add_percentiles(metrics, prefix, all);
  };
  percentiles("clat", FioLatency::read, FioLatency::trim);
  percentiles("flush", FioLatency::sync, FioLatency::sync);
  percentiles("response", FioLatency::read_response, FioLatency::trim_response);
  if (measured.steady) {
    metrics["steady_iops"] = measured.steady->ops_s;
    metrics["steady_bandwidth_mb_s"] = measured.steady->mb_s;
    metrics["steady_after_seconds"] = measured.measured_seconds;
  }
  if (any_verified(load_.jobs)) {
    metrics["verified_blocks"] = static_cast<double>(measured.latency[static_cast<size_t>(FioLatency::verify)].count);
    metrics["verify_mismatches"] = static_cast<double>(measured.verify_mismatches);
  }
  return metrics;
}

std::string FioWorkload::operation_name(size_t latency_kind) const {
  return std::string(harness::name(static_cast<FioLatency>(latency_kind)));
}

std::string FioWorkload::reference_obstacle() const {
  // fio's clones of a job with an offset in percent, or that share files of different ends, are not told apart by sections.
  for (const FioJob& job : load_.jobs)
    if (job.offset.percent || job.offset_increment.percent) return "fio is not given offsets in percent";
  for (const FioJob& job : load_.jobs)
    if (job.verify.on() && job.verify.backlog > 0) return "fio's rates hold what verify_backlog reads back";
  return "";
}

Outcome<double> FioWorkload::run_reference(const KernelTarget& target, const std::vector<u32>& cpus) const {
  const auto layout = lay_out(target, load_.jobs);
  if (!layout) return layout.failure();
  std::vector<StockFioClone> clones;
  for (const Clone& clone : clones_) {
    StockFioClone& stock = clones.emplace_back();
    stock.job = clone.job;
    stock.number = clone.number;
    const auto paths = fio_paths(*clone.job, clone.number);
    if (*layout) {
      // Its files lie behind each other, as one.
      stock.files = {target.directory()};
      stock.base = (*layout)->base(paths.front().path);
    } else {
      for (const FioPath& path : paths) stock.files.push_back(target.directory() + path.path);
    }
  }
  return run_stock_fio(stock_fio_command(clones, cpus, seconds() + *warmup_seconds()));
}

}  // namespace cowbench::harness
