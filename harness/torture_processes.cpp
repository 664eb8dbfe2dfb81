// A killed process may leave I/O in flight, which the kernel finishes for it. Until then it holds the device, so who
// comes next waits for the device to be free, or a late write would hit the new owner's filesystem.
#include "harness/torture_internal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "engine/engine.h"
#include "engine/runtime/sync.h"
#include "harness/cowfs_target.h"
#include "harness/ready_task.h"
#include "harness/round_phases.h"
#include "harness/survival_model.h"

namespace cowbench::harness {
namespace {

using cowfs::Task;
using PlainTarget = CowfsTarget<NoCharge>;

constexpr const char* clients_directory = "/clients";

std::string engine_text(std::string_view action, const cowfs::Error& error) {
  return fmt::format("{}: {}", action, cowfs::to_text(error));
}

bool is_free(const std::string& device) {
  struct stat status = {};
  const bool is_block = stat(device.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
  const int descriptor = open(device.c_str(), O_RDONLY | O_CLOEXEC | (is_block ? O_EXCL : 0));
  if (descriptor < 0) return errno != EBUSY;
  const bool free = flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  close(descriptor);
  return free;
}

bool wait_until_free(const TortureLife& life) {
  constexpr u64 limit_ns = 30'000'000'000;
  const u64 end_ns = monotonic_ns() + limit_ns;
  while (!is_free(life.device)) {
    if (monotonic_ns() > end_ns) {
      life.memory.fail(fmt::format("{} is still held 30 s after its user was killed", life.device));
      return false;
    }
    usleep(500);
  }
  return true;
}

std::unique_ptr<cowfs::Filesystem> mount(const TortureLife& life) {
  if (!wait_until_free(life)) return nullptr;
  cowfs::MountOptions options;
  options.devices = {life.device};
  for (u32 core = 0; core < life.settings.cores; ++core) options.cpus.push_back(core);
  options.pin = false;
  options.cache_bytes = life.settings.cache_bytes;
  options.populate_cache = false;
  options.commit_interval_ns = life.settings.commit_interval_ns;
  auto mounted = cowfs::Filesystem::mount(options);
  if (mounted) return *std::move(mounted);
  life.memory.fail(engine_text("mount", mounted.error()));
  return nullptr;
}

// Counts what it begins, and believes no fsync that fails.
class WitnessedTarget : public PlainTarget {
 public:
  WitnessedTarget(cowfs::Filesystem& filesystem, TortureMemory& memory, u32 client)
      : PlainTarget(filesystem, false), memory_(memory), begun_(memory.clients[client].begun) {}
  void begin(const Op&) { begun_.store(begun_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  cowfs::Task<i64> fsync(i64 handle) {
    auto call = PlainTarget::fsync(handle);
    const i64 result = co_await call;
    if (result < 0) memory_.fail(fmt::format("fsync: {}", std::strerror(static_cast<int>(-result))));
    co_return result;
  }
  cowfs::Task<i64> fdatasync_directory(const std::string& path) {
    auto call = PlainTarget::fdatasync_directory(path);
    const i64 result = co_await call;
    const bool is_there = result != -ENOENT && result != -ENOTDIR;  // a load may ask for what is not
    if (result < 0 && is_there)
      memory_.fail(fmt::format("fsync of {}: {}", path, std::strerror(static_cast<int>(-result))));
    co_return result;
  }

 private:
  TortureMemory& memory_;
  std::atomic<u64>& begun_;
};

// Clients take turns after every operation.
struct WorkerHost {
  u64 now_ns() { return 0; }
  bool stop_requested() { return false; }
  void record(OpKind, u64, u64, u64) {}
  void late(u64) {}
  void pass_done(u64) {}
  auto turn() { return cowfs::runtime::yield_to_all(); }
  Task<void> sleep(u64 duration_ns) {
    return cowfs::runtime::sleep_until(cowfs::runtime::this_reactor().now_ns() + duration_ns);
  }
};

// Goes exactly as far as the client had come.
class ReplayHost {
 public:
  ReplayHost(SurvivalModel& model, u64 begun) : model_(model), begun_(begun) {}
  u64 now_ns() { return 0; }
  bool stop_requested() {
    if (done_ + 1 == begun_) model_.nothing_is_answered_any_more();
    return done_++ == begun_;
  }
  void record(OpKind, u64, u64, u64) {}
  void late(u64) {}
  void pass_done(u64) {}
  Ready<void> sleep(u64) { return {}; }

 private:
  SurvivalModel& model_;
  const u64 begun_;
  u64 done_ = 0;
};

ClientOptions client_options(const TortureLife& life, u32 client) {
  ClientOptions options;
  options.client = client;
  options.sync_open = life.settings.sync_open;
  options.sync_directories = life.settings.sync_directories;
  options.sync_writes = life.settings.sync_writes;
  options.payload = workloads::PayloadKind::random;
  options.seed = life.seed;
  options.verify = true;
  return options;
}

Task<void> run_client(const TortureLife& life, cowfs::Filesystem& filesystem, u32 client) {
  WitnessedTarget target(filesystem, life.memory, client);
  WorkerHost host;
  const auto dbench = std::make_unique<DbenchClient<WitnessedTarget, WorkerHost>>(
      *life.request.program, client_options(life, client), target, host);
  const ClientOutcome outcome = co_await dbench->run();
  life.memory.fail(fmt::format("client {} ended: {}", client, outcome.message));
}

Task<std::vector<std::string>> paths_in(PlainTarget& target, std::string directory) {
  std::vector<std::string> paths;
  auto opening = target.open_directory(directory);
  const i64 handle = co_await opening;
  if (handle < 0) co_return paths;
  std::vector<std::byte> buffer(directory_buffer_bytes);
  for (;;) {
    const MutableByteSpan into = buffer;
    auto reading = target.read_directory(handle, into);
    const i64 bytes = co_await reading;
    if (bytes <= 0) break;
    DirectoryRecords records(ByteSpan(buffer).first(static_cast<std::size_t>(bytes)));
    while (const char* name = records.next()) {
      const std::string_view text = name;
      if (text != "." && text != "..") paths.push_back(directory + "/" + name);
    }
  }
  auto closing = target.close_directory(handle);
  co_await closing;
  co_return paths;
}

Task<i64> remove_tree(PlainTarget& target, std::string directory) {
  auto listing = paths_in(target, directory);
  const std::vector<std::string> paths = co_await listing;
  for (const std::string& path : paths) {
    FileStat found;
    auto looking = target.stat(path, found);
    i64 result = co_await looking;
    if (result < 0) co_return result;
    if (found.is_directory) {
      auto below = remove_tree(target, path);
      result = co_await below;
    } else {
      auto unlinking = target.unlink(path);
      result = co_await unlinking;
    }
    if (result < 0) co_return result;
  }
  auto removing = target.rmdir(directory);
  const i64 result = co_await removing;
  co_return result;
}

// What the last life left is in nobody's model; after this it is durably gone.
Task<void> begin_afresh(const TortureLife& life, cowfs::Filesystem& filesystem) {
  PlainTarget target(filesystem, false);
  std::string directory = clients_directory;
  auto removing = remove_tree(target, std::move(directory));
  const i64 removed = co_await removing;
  if (removed < 0 && removed != -ENOENT)
    life.memory.fail(fmt::format("deleting what the last life left: {}", std::strerror(static_cast<int>(-removed))));
  auto syncing = filesystem.sync();
  const cowfs::Status synced = co_await syncing;
  if (!synced) life.memory.fail(engine_text("sync", synced.error()));
}

Task<void> read_tree(const TortureLife& life, PlainTarget& target, std::string directory, FoundTree& into) {
  auto listing = paths_in(target, directory);
  const std::vector<std::string> paths = co_await listing;
  into[directory].is_directory = true;
  for (const std::string& path : paths) {
    auto opening = target.open(path, O_RDONLY, 0);
    const i64 handle = co_await opening;
    FileStat found;
    i64 result = handle;
    if (handle >= 0) {
      auto looking = target.fstat(handle, found);
      result = co_await looking;
    }
    if (result >= 0 && !found.is_directory) {
      std::vector<std::byte>& content = into[path].content;
      content.resize(found.size);
      const MutableByteSpan span = content;
      auto reading = target.pread(handle, span, 0);
      result = co_await reading;
      if (result >= 0 && static_cast<u64>(result) != found.size) result = -EIO;
    }
    if (result < 0) life.memory.fail(fmt::format("reading {}: {}", path, std::strerror(static_cast<int>(-result))));
    if (handle >= 0) {
      auto closing = target.close(handle);
      co_await closing;
    }
    if (result >= 0 && found.is_directory) {
      auto below = read_tree(life, target, path, into);
      co_await below;
    }
  }
}

Task<void> read_all(const TortureLife& life, cowfs::Filesystem& filesystem, FoundTree& into) {
  PlainTarget target(filesystem, false);
  FileStat found;
  const std::string directory = clients_directory;
  auto looking = target.stat(directory, found);
  const i64 there = co_await looking;
  if (there == -ENOENT) co_return;
  auto reading = read_tree(life, target, directory, into);
  co_await reading;
}

void compare(const TortureLife& life, const FoundTree& found) {
  for (u32 client = 0; client < life.request.clients; ++client) {
    SurvivalModel model;
    ReplayHost host(model, life.memory.clients[client].begun);
    const auto dbench = std::make_unique<DbenchClient<SurvivalModel, ReplayHost>>(
        *life.request.program, client_options(life, client), model, host);
    const ClientOutcome outcome = run_ready(dbench->run());
    if (outcome.failed)
      return life.memory.fail(fmt::format("the replay of client {} went another way: {}", client, outcome.message));
    const std::string objection = model.objection(fmt::format("{}/client{}", clients_directory, client), found);
    if (!objection.empty())
      return life.memory.fail(fmt::format("client {} after {} operations, {} fsyncs: {}", client,
                                          life.memory.clients[client].begun.load(), model.fsyncs(), objection));
    life.memory.fsyncs += model.fsyncs();
  }
}

bool check_is_clean(const TortureLife& life, std::string_view when) {
  if (!wait_until_free(life)) return false;
  const Action clean = life.request.check(life.device);
  if (!clean) life.memory.fail(fmt::format("check {}: {}", when, to_text(clean.failure())));
  return clean.ok();
}

}  // namespace

void torture_worker(const TortureLife& life) {
  if (life.format) {
    cowfs::FormatOptions options;
    options.devices = {life.device};
    options.force = true;
    options.slices = life.settings.slices;
    if (const cowfs::Status formatted = cowfs::format_devices(options); !formatted)
      return life.memory.fail(engine_text("format", formatted.error()));
  }
  life.memory.state = state_formatted;
  const auto filesystem = mount(life);
  if (filesystem == nullptr) return;
  filesystem->run(0, [&] { return begin_afresh(life, *filesystem); });
  life.memory.state = state_running;
  for (u32 client = 0; client < life.request.clients; ++client)
    filesystem->start(client % filesystem->cores(), [&life, &filesystem, client] {
      return run_client(life, *filesystem, client);
    });
  for (;;) pause();
}

void torture_recovery(const TortureLife& life) {
  const auto filesystem = mount(life);
  if (filesystem == nullptr) return;
  if (const cowfs::Status unmounted = filesystem->unmount(); !unmounted)
    life.memory.fail(engine_text("unmount", unmounted.error()));
}

void torture_verifier(const TortureLife& life) {
  if (!check_is_clean(life, "before recovery")) return;
  FoundTree found;
  {
    const auto filesystem = mount(life);
    if (filesystem == nullptr) return;
    filesystem->run(0, [&] { return read_all(life, *filesystem, found); });
    if (const cowfs::Status unmounted = filesystem->unmount(); !unmounted)
      return life.memory.fail(engine_text("unmount", unmounted.error()));
  }
  if (life.memory.failed != 0 || !check_is_clean(life, "after recovery")) return;
  for (const auto& [path, entry] : found) {
    life.memory.files += entry.is_directory ? 0 : 1;
    life.memory.bytes += entry.content.size();
  }
  compare(life, found);
}

}  // namespace cowbench::harness
