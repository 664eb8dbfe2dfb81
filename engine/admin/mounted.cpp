// The interface's Filesystem: pinned cores, opened devices, and the operations on them.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "engine/admin/device_plan.h"
#include "engine/admin/device_session.h"
#include "engine/admin/format_device.h"
#include "engine/admin/mounted_devices.h"
#include "engine/admin/scrub.h"
#include "engine/engine.h"
#include "engine/fs/operations.h"
#include "engine/pool/assemble.h"
#include "engine/runtime/cores.h"

namespace cowfs {
namespace {

using fs::FilesystemState;

constexpr u64 cache_bytes_per_core_min = 16 * mib;

// Reading the clock twice costs as much as a cached read: what seldom waits for a device is timed now and then.
u64 timed_one_in(format::Activity kind) {
  return kind == format::Activity::fsync || kind == format::Activity::sync ? 1 : 64;
}

u64 clock_ns() {
  return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1});
}

template <typename T>
Task<T> timed(runtime::ActivityCounter& counter, Task<T> operation) {
  const u64 began_ns = clock_ns();
  T result = co_await operation;
  counter.add_latency(clock_ns() - began_ns);
  co_return result;
}

std::vector<Activity> named(const format::ActivityTotals& totals) {
  std::vector<Activity> activities;
  for (u8 kind = 0; kind < format::activity_count; ++kind) {
    activities.push_back({std::string(format::name(static_cast<format::Activity>(kind))), totals[kind]});
  }
  return activities;
}

class Mounted final : public Filesystem {
 public:
  Mounted(std::vector<std::unique_ptr<device::Device>> devices, std::unique_ptr<runtime::Cores> cores)
      : devices_(std::move(devices)), cores_(std::move(cores)) {}
  ~Mounted() override {
    if (cores_ == nullptr) return;
    if (state_ != nullptr) cores_->run(0, [this] { return state_->abandon(); });
    state_.reset();
    cores_->stop();
  }

  Status open(const MountOptions& options) {
    const pool::AssembleOptions how{.degraded = options.degraded, .read_only = options.read_only};
    Result<pool::Assembled> assembled = cores_->run(0, [&] { return pool::assemble(admin::plain(devices_), how); });
    if (!assembled) return assembled.error();
    assembled_ = std::move(*assembled);
    device::Device* target = assembled_.device;
    fs::FilesystemSettings settings;
    settings.core.cache_bytes = std::max(options.cache_bytes / cores_->count(), cache_bytes_per_core_min);
    settings.core.populate_cache = options.populate_cache;
    settings.core.node_bytes = options.node_cache_bytes / cores_->count();
    settings.discard = options.discard && target->discards();
    settings.read_only = options.read_only;
    settings.commit_interval_ns = options.commit_interval_ns;
    settings.io_limit_ns = options.io_limit_ns;
    state_ = std::make_unique<FilesystemState>(assembled_.superblock, std::vector<device::Device*>{target}, cores_->count(),
                                               settings);
    operations_ = std::make_unique<fs::Operations>(*state_);
    return cores_->run(0, [this] { return state_->open(); });
  }

  Status unmount() override {
    const Status closed = cores_->run(0, [this] { return state_->close(); });
    state_.reset();
    cores_->stop();
    cores_.reset();
    return closed;
  }

  unsigned cores() const override { return cores_->count(); }
  void run(unsigned core, std::function<Task<void>()> function) override {
    cores_->run<void>(static_cast<runtime::CoreIndex>(core), std::move(function));
  }
  void start(unsigned core, std::function<Task<void>()> function) override {
    cores_->spawn_on(static_cast<runtime::CoreIndex>(core), std::move(function));
  }

  Task<Result<FileHandle>> open(std::string_view path, int flags, u32 mode) override {
    return counted(Kind::open, operations_->open(path, flags, mode));
  }
  Task<Status> close(FileHandle handle) override { return counted(Kind::close, operations_->close(handle)); }
  Task<Result<u64>> read(FileHandle handle, u64 offset, MutableByteSpan into) override {
    return counted(Kind::read, operations_->read(handle, offset, into));
  }
  Task<Result<u64>> write(FileHandle handle, u64 offset, ByteSpan from) override {
    return counted(Kind::write, operations_->write(handle, offset, from));
  }
  Task<Status> fsync(FileHandle handle) override { return counted(Kind::fsync, operations_->fsync(handle)); }
  Task<Status> sync() override { return counted(Kind::sync, operations_->sync()); }
  Task<Status> truncate(FileHandle handle, u64 bytes) override {
    return counted(Kind::truncate, operations_->truncate(handle, bytes));
  }
  Task<Status> allocate(FileHandle handle, int mode, u64 offset, u64 bytes) override {
    return counted(Kind::allocate, operations_->allocate(handle, mode, offset, bytes));
  }
  Task<Result<u64>> seek(FileHandle handle, u64 offset, int whence) override {
    return counted(Kind::seek, operations_->seek(handle, offset, whence));
  }
  Task<Result<Attributes>> stat(FileHandle handle) override { return counted(Kind::stat, operations_->stat(handle)); }
  Task<Status> lock(FileHandle handle, u64 offset, u64 bytes) override {
    return counted(Kind::lock, operations_->lock(handle, offset, bytes));
  }
  Task<Status> unlock(FileHandle handle, u64 offset, u64 bytes) override {
    return counted(Kind::lock, operations_->unlock(handle, offset, bytes));
  }

  Task<Result<Attributes>> stat(std::string_view path, bool follow) override {
    return counted(Kind::stat, operations_->stat(path, follow));
  }
  Task<Status> mkdir(std::string_view path, u32 mode) override {
    return counted(Kind::mkdir, operations_->mkdir(path, mode));
  }
  Task<Status> rmdir(std::string_view path) override { return counted(Kind::rmdir, operations_->rmdir(path)); }
  Task<Status> unlink(std::string_view path) override { return counted(Kind::unlink, operations_->unlink(path)); }
  Task<Status> rename(std::string_view from, std::string_view to, unsigned flags) override {
    return counted(Kind::rename, operations_->rename(from, to, flags));
  }
  Task<Status> link(std::string_view existing, std::string_view path) override {
    return counted(Kind::link, operations_->link(existing, path));
  }
  Task<Status> symlink(std::string_view target, std::string_view path) override {
    return counted(Kind::symlink, operations_->symlink(target, path));
  }
  Task<Status> make_node(std::string_view path, u32 mode, u64 device) override {
    return counted(Kind::make_node, operations_->make_node(path, mode, device));
  }
  Task<Result<std::string>> read_link(std::string_view path) override {
    return counted(Kind::read_link, operations_->read_link(path));
  }
  Task<Status> set_times(std::string_view path, u64 access_ns, u64 modify_ns) override {
    return counted(Kind::set_attributes, operations_->set_times(path, access_ns, modify_ns));
  }
  Task<Status> set_mode(std::string_view path, u32 mode) override {
    return counted(Kind::set_attributes, operations_->set_mode(path, mode));
  }
  Task<Status> set_owner(std::string_view path, u32 user, u32 group) override {
    return counted(Kind::set_attributes, operations_->set_owner(path, user, group));
  }
  Task<Result<u64>> get_xattr(std::string_view path, std::string_view name, MutableByteSpan into) override {
    return counted(Kind::get_xattr, operations_->get_xattr(path, name, into));
  }
  Task<Status> set_xattr(std::string_view path, std::string_view name, ByteSpan value) override {
    return counted(Kind::set_xattr, operations_->set_xattr(path, name, value));
  }
  Task<Result<SpaceUse>> space_use() override { return counted(Kind::space_use, state_->space_use()); }
  Task<Result<DirectoryRead>> read_directory(FileHandle handle, u64 cookie, MutableByteSpan into) override {
    return counted(Kind::read_directory, operations_->read_directory(handle, cookie, into));
  }

  Task<Result<ScrubReport>> scrub(ScrubOptions options) override { return admin::scrub(*state_, assembled_, std::move(options)); }

  Task<Status> change_device(DeviceChange change, DeviceWork work) override {
    std::unique_ptr<device::Device> found;
    if (admin::brings_device(change.kind)) {
      const Status blank = check_blank(work);
      if (!blank) co_return blank;
    }
    if (!work.path.empty()) {
      auto opened = admin::open_devices({work.path}, device::OpenMode::read_write);
      if (!opened) co_return opened.error();
      found = std::move(opened->front());
    }
    device::Device* const device = found.get();
    const format::Uuid uuid = admin::random_identity().device;
    const Status changed = co_await admin::change_mounted(*state_, assembled_, std::move(change), device, uuid, std::move(work));
    keep_if_used(std::move(found));
    co_return changed;
  }
  Task<Status> replace_device(u16 member, DeviceWork work) override {
    const Status blank = check_blank(work);
    if (!blank) co_return blank;
    auto opened = admin::open_devices({work.path}, device::OpenMode::read_write);
    if (!opened) co_return opened.error();
    std::unique_ptr<device::Device> fresh = std::move(opened->front());
    device::Device* const device = fresh.get();
    const format::Uuid uuid = admin::random_identity().device;
    const Status replaced = co_await admin::replace_mounted(*state_, assembled_, member, device, uuid, std::move(work));
    keep_if_used(std::move(fresh));
    co_return replaced;
  }

  Counters counters() override {
    const device::DeviceCounts device = assembled_.device->counts();
    Counters counters;
    counters.device_write_bytes = device.written_bytes;
    counters.device_read_bytes = device.read_bytes;
    counters.device_flushes = device.flushes;
    for (runtime::CoreIndex index = 0; index < cores_->count(); ++index) {
      cores_->run(index, [this, index, &counters] { return count_core(index, &counters); });
      const runtime::ReactorCounts core = cores_->counts(index);
      counters.system_calls += core.ring_calls + core.yields;
    }
    return counters;
  }
  std::string integrity_label() const override {
    const auto data = static_cast<ChecksumKind>(state_->superblock().data_checksum);
    const auto metadata = static_cast<ChecksumKind>(state_->superblock().metadata_checksum);
    std::string label = redundancy_label();
    label += data == ChecksumKind::none ? "no data checksums" : std::string(name(data)) + " per 4 KiB";
    if (metadata != ChecksumKind::crc32c) label += ", metadata " + std::string(name(metadata));
    return label + ", fsync=flush";
  }

  std::vector<Activity> activities() override {
    const format::ActivityTotals totals = cores_->run(0, [this] { return state_->activity_since_mount(); });
    return named(totals);
  }

 private:
  using Kind = format::Activity;

  std::string redundancy_label() const {
    if (!assembled_.pool) return "";
    const format::PoolMap& map = assembled_.pool->map();
    if (map.is_striped()) return fmt::format("{}+{} erasure code, ", map.data_shards, map.parity_shards);
    return map.copies > 1 ? fmt::format("{} copies, ", map.copies) : "";
  }

  static Status check_blank(const DeviceWork& work) {
    const Result<std::string> signature = admin::find_signature(work.path);
    if (!signature) return signature.error();
    if (!work.force && !signature->empty()) return Error{Code::device_has_signature};
    return {};
  }
  void keep_if_used(std::unique_ptr<device::Device> device) {
    if (device == nullptr || assembled_.pool == nullptr) return;
    const std::vector<device::Device*> used = assembled_.pool->devices();
    if (std::find(used.begin(), used.end(), device.get()) != used.end()) devices_.push_back(std::move(device));
  }

  template <typename T>
  Task<T> counted(Kind kind, Task<T> operation) {
    runtime::ActivityCounter& counter = state_->here().activity(kind);
    const u64 before = counter.counted();
    counter.count();
    if (before % timed_one_in(kind) != 0) return operation;
    return timed(counter, std::move(operation));
  }

  Task<void> count_core(runtime::CoreIndex index, Counters* counters) {
    fs::CoreState& core = state_->core(index);
    if (index == 0) counters->commits = state_->journal().counters().commits;
    counters->checkpoints += core.checkpoints();
    counters->cache_bytes += core.data().cache.used().value;
    counters->node_bytes += core.nodes().resident_bytes().value;
    core.each_slice([&](fs::SliceState& slice) {
      counters->copygc_blocks += slice.copygc.counters().moved_blocks;
    });
    co_return;
  }

  std::vector<std::unique_ptr<device::Device>> devices_;
  pool::Assembled assembled_;
  std::unique_ptr<runtime::Cores> cores_;
  std::unique_ptr<FilesystemState> state_;
  std::unique_ptr<fs::Operations> operations_;
};

}  // namespace

Result<std::unique_ptr<Filesystem>> Filesystem::mount(const MountOptions& options) {
  const device::OpenMode mode = options.read_only ? device::OpenMode::read_only : device::OpenMode::read_write;
  auto devices = admin::open_devices(options.devices, mode);
  if (!devices) return devices.error();
  runtime::CoresSettings settings;
  settings.pin = options.pin;
  settings.cores = static_cast<u16>(options.cpus.size());
  settings.processors.assign(options.cpus.begin(), options.cpus.end());
  settings.reactor.spin_ns = options.spin_us * 1000;
  auto cores = runtime::Cores::start(settings);
  if (!cores) return cores.error();
  auto mounted = std::make_unique<Mounted>(std::move(*devices), std::move(*cores));
  const Status opened = mounted->open(options);
  if (!opened) return opened.error();
  return std::unique_ptr<Filesystem>(std::move(mounted));
}

}  // namespace cowfs
