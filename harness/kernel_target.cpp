// mkfs runs with its defaults but for discard: the medium was written through on purpose, and a discard would make it
// sparse again. ext4 also initialises its tables at once, or a kernel thread would do so during the round. No --force:
// wipefs takes the last round's signature away, and anything that mkfs then still objects to deserves to be heard.
#include "harness/kernel_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace cowbench::harness {
namespace {

struct KindRow {
  TargetKind kind;
  const char* name;
  const char* promise;
  const char* mkfs;
  std::vector<std::string> mkfs_arguments;
};

const std::vector<KindRow>& kind_rows() {
  static const std::vector<KindRow> rows = {
      {TargetKind::xfs, "xfs", "metadata crc, barriers", "mkfs.xfs", {"-q", "-K"}},
      {TargetKind::ext4, "ext4", "metadata_csum as mkfs gives, barriers", "mkfs.ext4",
       {"-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"}},
      {TargetKind::btrfs, "btrfs", "crc32c data, barriers", "mkfs.btrfs", {"-q", "-K"}},
      {TargetKind::raw, "raw", "the device itself", nullptr, {}},
      {TargetKind::null, "null", "nothing is stored", nullptr, {}},
      {TargetKind::cowfs, "cowfs", "crc32c data, flushed", nullptr, {}},
  };
  return rows;
}

const KindRow* row_of(TargetKind kind) {
  for (const KindRow& row : kind_rows())
    if (row.kind == kind) return &row;
  return nullptr;
}

constexpr std::string_view path_prefix = "path:";
constexpr std::string_view cowfs_prefix = "cowfs:";
constexpr std::string_view btrfs_prefix = "btrfs:";
constexpr std::array btrfs_profiles = {"single", "raid0", "raid1", "raid1c3", "raid1c4", "raid10"};
constexpr u32 mkfs_timeout_seconds = 600;

using Devices = std::vector<std::string>;

Command wipe_command(const Devices& devices) {
  Command command{"wipefs", {"--all", "--quiet"}};
  command.arguments.insert(command.arguments.end(), devices.begin(), devices.end());
  return command;
}

Command mkfs_command(const TargetName& name, const Devices& devices) {
  const KindRow& row = *row_of(name.kind);
  Command command{row.mkfs, row.mkfs_arguments, mkfs_timeout_seconds};
  if (!name.argument.empty())
    command.arguments.insert(command.arguments.end(), {"-d", name.argument, "-m", name.argument});
  command.arguments.insert(command.arguments.end(), devices.begin(), devices.end());
  return command;
}

Command mount_command(const TargetName& name, const Devices& devices, const std::string& point) {
  Command command{"mount", {"-t", row_of(name.kind)->name}};
  std::string others;
  for (std::size_t i = 1; i < devices.size(); ++i) others += (others.empty() ? "device=" : ",device=") + devices[i];
  if (!others.empty()) command.arguments.insert(command.arguments.end(), {"-o", others});
  command.arguments.insert(command.arguments.end(), {devices.front(), point});
  return command;
}

std::string mount_point(const TargetName& name, const std::string& mount_directory) {
  return fmt::format("{}/{}-{}.mounted", mount_directory, name.text, getpid());
}

std::string kept_directory(const std::string& directory) { return directory + "/cowbench-kept"; }

u64 now_ns() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000 + static_cast<u64>(now.tv_nsec);
}

// The line of the mount table for the filesystem that holds `directory`: type, source and options.
std::string mount_line(const std::string& directory) {
  struct stat status = {};
  if (stat(directory.c_str(), &status) != 0) return {};
  std::istringstream lines(read_small_file("/proc/self/mountinfo"));
  std::string facts;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, number, root, point, options, word, type, source, super_options;
    fields >> id >> parent >> number >> root >> point >> options;
    while (fields >> word && word != "-") {
    }
    fields >> type >> source >> super_options;
    const bool below = directory == point || directory.starts_with(point == "/" ? point : point + "/");
    if (below) facts = fmt::format("{} on {} ({},{})", type, source, options, super_options);  // the last, deepest wins
  }
  return facts;
}

}  // namespace

bool is_made_by_mkfs(TargetKind kind) {
  const KindRow* row = row_of(kind);
  return row != nullptr && row->mkfs != nullptr;
}

bool takes_several_devices(TargetKind kind) {
  return kind == TargetKind::cowfs || kind == TargetKind::btrfs || !needs_media(kind);
}

bool needs_media(TargetKind kind) {
  return kind == TargetKind::cowfs || kind == TargetKind::raw || is_made_by_mkfs(kind);
}

Outcome<TargetName> parse_target(std::string_view text) {
  TargetName name{TargetKind::null, "", std::string(text)};
  if (text.starts_with(path_prefix) && text.size() > path_prefix.size()) {
    name.kind = TargetKind::path;
    name.argument = text.substr(path_prefix.size());
    return name;
  }
  if (text.starts_with(cowfs_prefix)) {
    name.kind = TargetKind::cowfs;
    name.argument = text.substr(cowfs_prefix.size());
    return name;
  }
  if (text.starts_with(btrfs_prefix)) {
    name.kind = TargetKind::btrfs;
    name.argument = text.substr(btrfs_prefix.size());
    if (std::ranges::find(btrfs_profiles, name.argument) != btrfs_profiles.end()) return name;
    return Failure{FailureKind::request, fmt::format("--target {}: no such profile", text),
                   fmt::format("use {}", fmt::join(btrfs_profiles, ", "))};
  }
  for (const KindRow& row : kind_rows()) {
    if (text != row.name) continue;
    name.kind = row.kind;
    return name;
  }
  return Failure{FailureKind::request, fmt::format("--target {}: unknown", text),
                 "use cowfs, cowfs:option=value, xfs, ext4, btrfs, btrfs:PROFILE, raw, path:DIR or null"};
}

Outcome<KernelTarget> KernelTarget::create(const TargetName& name, Ledger& ledger, Media* media,
                                           const std::string& mount_directory, Keep keep) {
  assert(name.kind == TargetKind::path || name.kind == TargetKind::raw || is_made_by_mkfs(name.kind));
  KernelTarget target;
  target.name_ = name;
  target.ledger_ = &ledger;
  target.media_ = media;
  target.mount_directory_ = mount_directory;
  target.keep_ = keep;
  if (name.kind == TargetKind::path) {
    char* resolved = realpath(name.argument.c_str(), nullptr);
    if (resolved == nullptr)
      return Failure{FailureKind::missing, fmt::format("--target {}: {}", name.text, std::strerror(errno)), ""};
    target.mount_directory_ = resolved;
    std::free(resolved);
    return target;
  }
  assert(media != nullptr);
  if (name.kind == TargetKind::raw) return target;
  if (geteuid() != 0)
    return Failure{FailureKind::missing, "--target " + name.text + ": mkfs and mount need root",
                   "use sudo, or path:DIR"};
  for (const char* program : {row_of(name.kind)->mkfs, "mount", "wipefs"})
    if (auto found = find_program(program); !found) return found.failure();
  return target;
}

std::vector<std::string> KernelTarget::plan(const TargetName& name, const std::vector<std::string>& devices, Keep keep,
                                            const std::string& mount_directory) {
  if (name.kind == TargetKind::path && keep != Keep::nothing) {
    const std::string directory = kept_directory(name.argument);
    if (keep == Keep::found) return {"# use " + directory + " as an earlier run left it"};
    return {"mkdir " + directory, "# the round runs in it; it is left"};
  }
  if (name.kind == TargetKind::path) {
    const std::string directory = fmt::format("{}/cowbench-{}-ROUND", name.argument, getpid());
    return {"mkdir " + directory, "# the round runs in it; afterwards it is removed with all that is in it"};
  }
  if (name.kind == TargetKind::raw) return {"# read and write " + devices.front()};
  if (!is_made_by_mkfs(name.kind)) return {};
  const std::string point = mount_point(name, mount_directory);
  std::vector<std::string> lines;
  if (keep != Keep::found) lines = {to_text(wipe_command(devices)), to_text(mkfs_command(name, devices))};
  lines.insert(lines.end(), {"mkdir " + point, to_text(mount_command(name, devices, point)), "umount " + point});
  return lines;
}

std::string KernelTarget::label() const { return fmt::format("{} ({})", name_.text, promise()); }

std::string KernelTarget::promise() const {
  if (name_.kind != TargetKind::path)
    return (name_.argument.empty() ? "" : name_.argument + ", ") + row_of(name_.kind)->promise;
  const std::string facts = mount_line(mount_directory_);
  return facts.substr(0, facts.find(' ')) + ", as mounted";
}

Action KernelTarget::make_filesystem() {
  const Devices devices = media_->devices();
  for (const Command& command : {wipe_command(devices), mkfs_command(name_, devices)})
    if (auto result = run_checked(command); !result) return result.failure();
  return Done{};
}

Action KernelTarget::mount_filesystem() {
  const std::string point = mount_point(name_, mount_directory_);
  if (Action made = make_private_directory(mount_directory_); !made) return made;
  const Made steps[] = {{MadeKind::directory, point}, {MadeKind::mount, point}};
  Action made = ledger_->make(steps[0], [&] { return make_private_directory(point); });
  if (!made) return made;
  made_.push_back(steps[0]);
  made = ledger_->make(steps[1], [&]() -> Action {
    auto result = run_checked(mount_command(name_, media_->devices(), point));
    return result ? Action(Done{}) : Action(result.failure());
  });
  if (!made) return made;
  made_.push_back(steps[1]);
  directory_ = point + "/run";
  // mkfs leaves lost+found and the like beside it; the workload gets a directory that is its own.
  return make_private_directory(directory_);
}

Action KernelTarget::open_directory() {
  const bool is_kept = keep_ != Keep::nothing;
  const std::string path =
      is_kept ? kept_directory(mount_directory_) : fmt::format("{}/cowbench-{}-{}", mount_directory_, getpid(), rounds_);
  const auto make_it = [&]() -> Action {
    if (mkdir(path.c_str(), 0700) == 0) return Done{};
    if (is_kept && errno == EEXIST)
      return Failure{FailureKind::refused, path + " is there, kept by an earlier run", "verify it with verify_only=1, or remove it"};
    return system_failure("make " + path, errno);
  };
  const Made tree{MadeKind::tree, path};
  Action made = keep_ == Keep::found ? Done{} : is_kept ? make_it() : ledger_->make(tree, make_it);
  if (!made) return made;
  if (!is_kept) made_.push_back(tree);
  directory_ = path;
  return Done{};
}

Action KernelTarget::prepare() {
  assert(directory_.empty());
  ++rounds_;
  if (name_.kind == TargetKind::path) return open_directory();
  Action done = media_->lend(DeviceClaim::Borrower::kernel);
  if (done && is_device()) {
    directory_ = media_->device();
    return done;
  }
  if (done && keep_ != Keep::found) done = make_filesystem();
  if (done) done = mount_filesystem();
  if (!done) {
    const auto finished = finish();
    if (!finished)
      return Failure{done.failure().kind, to_text(done.failure()) + "; and " + to_text(finished.failure()), ""};
  }
  return done;
}

std::string KernelTarget::mount_facts() const {
  if (is_device()) return "";
  return mount_line(directory_.empty() ? mount_directory_ : directory_);
}

std::vector<dev_t> KernelTarget::device_numbers() const {
  return media_ == nullptr ? std::vector<dev_t>{} : media_->device_numbers();
}

Outcome<FinishReport> KernelTarget::sync() {
  FinishReport report;
  const std::vector<dev_t> devices = device_numbers();
  const auto before = read_device_counters(devices);
  const int descriptor = directory_.empty() ? -1 : open(directory_.c_str(), O_RDONLY | O_CLOEXEC);
  std::optional<Failure> sync_failure;
  if (descriptor >= 0) {
    const u64 start = now_ns();
    if ((is_device() ? fsync(descriptor) : syncfs(descriptor)) != 0) sync_failure = system_failure("sync " + directory_, errno);
    report.sync_ns = now_ns() - start;
    close(descriptor);
  }
  const auto after = read_device_counters(devices);
  if (before && after) report.sync_moved = *after - *before;
  if (sync_failure) return *sync_failure;
  return report;
}

Action KernelTarget::undo_made() {
  directory_.clear();
  while (!made_.empty()) {
    Action undone = ledger_->undo_now(made_.back());
    if (!undone) return undone;
    made_.pop_back();
  }
  return Done{};
}

Outcome<FinishReport> KernelTarget::remount() {
  auto synced = sync();
  if (!synced || !is_made_by_mkfs(name_.kind)) return synced;
  if (const Action unmounted = undo_made(); !unmounted) return unmounted.failure();
  if (const Action mounted = mount_filesystem(); !mounted) return mounted.failure();
  return synced;
}

Outcome<FinishReport> KernelTarget::finish() {
  const auto synced = sync();
  if (const Action undone = undo_made(); !undone) return undone.failure();
  if (media_ != nullptr)
    if (const Action taken = media_->take_back(); !taken) return taken.failure();
  return synced;
}

}  // namespace cowbench::harness
