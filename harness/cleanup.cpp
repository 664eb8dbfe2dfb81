// Signals are taken by a thread in sigwait rather than by a handler: undoing needs locks, memory and files, which a
// handler may not touch. A child that makes things on our behalf (mount, losetup) may be killed half-way; undo
// therefore looks at what is there (mount table, loop devices by backing file) and never trusts that a step was
// finished.
#include "harness/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "harness/command.h"
#include "harness/device_identity.h"
#include "harness/holders.h"
#include "harness/memory_group.h"

namespace cowbench::harness {
namespace {

constexpr MadeKind kinds[] = {MadeKind::directory, MadeKind::tree, MadeKind::file, MadeKind::loop, MadeKind::mount,
                              MadeKind::memory_group};

// Field 22 of /proc/PID/stat: clock ticks since boot. 0: no such process. A zombie is dead: it holds nothing.
unsigned long long start_ticks(pid_t process) {
  const std::string line = read_first_line(fmt::format("/proc/{}/stat", process));
  const size_t name_end = line.rfind(')');
  if (name_end == line.npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") return 0;
  for (int number = 4; number <= 22; ++number) fields >> field;
  return std::strtoull(field.c_str(), nullptr, 10);
}

std::string boot_id() { return read_first_line("/proc/sys/kernel/random/boot_id"); }

// Mount tables write space, tab, newline and backslash as \ooo.
std::string unescaped(const std::string& text) {
  std::string result;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size()) {
      result += static_cast<char>(std::strtol(text.substr(at + 1, 3).c_str(), nullptr, 8));
      at += 3;
    } else {
      result += text[at];
    }
  }
  return result;
}

bool is_mounted(const std::string& point) {
  std::istringstream lines(read_small_file("/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, number, root, at;
    fields >> id >> parent >> number >> root >> at;
    if (unescaped(at) == point) return true;
  }
  return false;
}

using Clock = std::chrono::steady_clock;

// What is left of the patience, in steps: not everything that may happen meanwhile is announced.
std::chrono::milliseconds next_wait(Clock::time_point deadline) {
  constexpr auto step_max = std::chrono::milliseconds(50);
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  return std::clamp(left, std::chrono::milliseconds(0), step_max);
}

Action undo_mount(const std::string& point, bool process_ends) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(patience_ms);
  while (is_mounted(point)) {
    if (umount2(point.c_str(), UMOUNT_NOFOLLOW) == 0) continue;
    if (errno != EBUSY) return system_failure("unmount " + point, errno);
    struct stat status = {};
    if (lstat(point.c_str(), &status) != 0) return system_failure("unmount " + point, errno);
    std::vector<Holder> holders = openers_of(status.st_dev);
    const bool ours = std::erase_if(holders, [](const Holder& holder) { return holder.process == getpid(); }) > 0;
    const bool only_ours = ours && holders.empty();
    if (!only_ours && Clock::now() < deadline) {
      // Writers that were just killed may still be on their way out.
      wait_for_end_of_one(holders, next_wait(deadline));
      continue;
    }
    const std::string text = holders_text(status.st_dev);
    if (umount2(point.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0) return system_failure("unmount " + point, errno);
    if (only_ours && process_ends) return Done{};
    return Failure{FailureKind::failed, fmt::format("{} is unmounted, but its filesystem lives on: {}", point, text), ""};
  }
  return Done{};
}

bool is_attached(const std::string& loop_name, const std::string& backing_file) {
  const std::string backing = read_first_line(fmt::format("/sys/block/{}/loop/backing_file", loop_name));
  return backing == backing_file || backing == backing_file + " (deleted)";
}

// The kernel answers LOOP_CLR_FD at once, and carries it out when the last opener closes the device.
Action detach_loop(const std::string& name, const std::string& backing_file, bool process_ends) {
  DeviceEvents events;
  const std::string path = "/dev/" + name;
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return system_failure("open " + path, errno);
  struct stat node = {};
  int error_number = fstat(descriptor, &node) == 0 ? 0 : errno;
  // Once more: until it was open it could have been detached and given to somebody else.
  if (error_number == 0 && is_attached(name, backing_file) && ioctl(descriptor, LOOP_CLR_FD, 0) != 0) error_number = errno;
  close(descriptor);
  if (error_number != 0 && error_number != ENXIO) return system_failure("detach " + path, error_number);
  const auto deadline = Clock::now() + std::chrono::milliseconds(patience_ms);
  while (is_attached(name, backing_file)) {
    if (process_ends) {
      const std::vector<Holder> holders = openers_of(node.st_rdev);
      if (holders.size() == 1 && holders.front().process == getpid()) return Done{};
    }
    if (Clock::now() < deadline) {
      events.wait(next_wait(deadline));
      continue;
    }
    const std::string text = holders_text(node.st_rdev);
    return Failure{FailureKind::failed, fmt::format("{} is not detached from {} yet: {}", path, backing_file,
                                                    text.empty() ? "somebody who cannot be seen holds it" : text),
                   "it is as soon as they let go"};
  }
  return Done{};
}

Action undo_loop(const std::string& backing_file, bool process_ends) {
  for (const std::string& name : list_directory("/sys/block")) {
    if (!name.starts_with("loop") || !is_attached(name, backing_file)) continue;
    if (Action detached = detach_loop(name, backing_file, process_ends); !detached) return detached;
  }
  return Done{};
}

// Also below what is no directory (any more).
bool names_nothing(const std::string& path) {
  struct stat status = {};
  return lstat(path.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

constexpr int tree_depth_max = 64;

// Below `parent`, opened without following links.
bool remove_tree(int parent, const char* name, dev_t filesystem, int depth) {
  const int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return unlinkat(parent, name, 0) == 0 || errno == ENOENT;
  struct stat status = {};
  DIR* directory = nullptr;
  if (depth > tree_depth_max || fstat(descriptor, &status) != 0 || status.st_dev != filesystem ||
      (directory = fdopendir(descriptor)) == nullptr) {
    close(descriptor);
    return false;
  }
  bool removed = true;
  std::vector<std::string> names;
  while (const dirent* entry = readdir(directory))
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) names.push_back(entry->d_name);
  for (const std::string& entry : names)
    removed = remove_tree(dirfd(directory), entry.c_str(), filesystem, depth + 1) && removed;
  closedir(directory);
  return removed && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

Action undo_tree(const std::string& path) {
  if (names_nothing(path)) return Done{};
  struct stat status = {};
  if (lstat(path.c_str(), &status) != 0) return system_failure("remove " + path, errno);
  if (remove_tree(AT_FDCWD, path.c_str(), status.st_dev, 0)) return Done{};
  return system_failure("remove " + path, errno);
}

bool is_private(const std::string& directory) {
  struct stat status = {};
  return lstat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
         (status.st_mode & 022) == 0;
}

struct Record {
  pid_t process = 0;
  unsigned long long start = 0;
  std::string boot;
  std::vector<Made> made;
};

std::optional<Record> read_record(const std::string& path) {
  const auto document = nlohmann::json::parse(read_small_file(path), nullptr, false);
  try {
    if (document.at("schema") != "cowbench.state/1") return {};
    Record record{document.at("pid"), document.at("start_ticks"), document.at("boot_id"), {}};
    for (const auto& entry : document.at("made")) {
      const std::string text = entry.at("kind");
      const auto kind = std::ranges::find(kinds, text, [](MadeKind k) { return to_text(k); });
      if (kind == std::end(kinds)) return {};
      record.made.push_back({*kind, entry.at("path")});
    }
    return record;
  } catch (const nlohmann::json::exception&) {
    return {};
  }
}

bool is_alive(const Record& record) {
  return record.boot == boot_id() && record.process > 0 && start_ticks(record.process) == record.start;
}

// True when nothing of the record is left.
bool undo_record(const Record& record, CleanupReport& report) {
  bool clean = true;
  for (auto made = record.made.rbegin(); made != record.made.rend(); ++made) {
    const Action undone = undo(*made);
    if (undone) report.undone.push_back(undo_text(*made));
    else report.problems.push_back(to_text(undone.failure()));
    clean = clean && undone.ok();
  }
  return clean;
}

std::atomic<Ledger*> ledger_on_exit = nullptr;

void undo_registered_ledger() {
  if (Ledger* ledger = ledger_on_exit) ledger->undo_all();
}

[[noreturn]] void wait_for_signal(sigset_t signals) {
  int signal_number = 0;
  while (sigwait(&signals, &signal_number) != 0) {
  }
  kill_running_children();
  if (Ledger* ledger = ledger_on_exit)
    for (const std::string& problem : ledger->undo_all()) fmt::print(stderr, "cowbench: {}\n", problem);
  signal(signal_number, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal_number);
  kill(getpid(), signal_number);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  _exit(128 + signal_number);
}

}  // namespace

std::string_view to_text(MadeKind kind) {
  switch (kind) {
    case MadeKind::directory: return "directory";
    case MadeKind::tree: return "tree";
    case MadeKind::file: return "file";
    case MadeKind::loop: return "loop";
    case MadeKind::mount: return "mount";
    case MadeKind::memory_group: return "memory_group";
  }
  return "?";
}

std::string undo_text(const Made& made) {
  switch (made.kind) {
    case MadeKind::directory: return "remove directory " + made.path;
    case MadeKind::tree: return "remove " + made.path + " and all in it";
    case MadeKind::file: return "remove " + made.path;
    case MadeKind::loop: return "detach the loop device on " + made.path;
    case MadeKind::mount: return "unmount " + made.path;
    case MadeKind::memory_group: return "remove memory cgroup " + made.path;
  }
  return "?";
}

// Another process, with another folder, may have to undo it.
Failure not_absolute(const Made& made) { return {FailureKind::request, "not an absolute path: " + made.path, ""}; }

Action undo(const Made& made, bool process_ends) {
  if (!made.path.starts_with('/')) return not_absolute(made);
  switch (made.kind) {
    case MadeKind::directory:
      if (!names_nothing(made.path) && rmdir(made.path.c_str()) != 0) return system_failure("remove " + made.path, errno);
      return Done{};
    case MadeKind::file:
      if (!names_nothing(made.path) && unlink(made.path.c_str()) != 0) return system_failure("remove " + made.path, errno);
      return Done{};
    case MadeKind::tree: return undo_tree(made.path);
    case MadeKind::loop: return undo_loop(made.path, process_ends);
    case MadeKind::mount: return undo_mount(made.path, process_ends);
    case MadeKind::memory_group: return remove_memory_group(made.path);
  }
  return Done{};
}

std::string default_state_directory() {
  if (geteuid() == 0) return "/var/lib/cowbench/state";
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && runtime[0] == '/')
    return fmt::format("{}/cowbench", runtime);
  return fmt::format("/tmp/cowbench-{}", geteuid());
}

Action make_private_directory(const std::string& directory) {
  for (size_t slash = 0; slash != directory.npos;) {
    slash = directory.find('/', slash + 1);
    const std::string part = directory.substr(0, slash);
    const mode_t mode = slash == directory.npos ? 0700 : 0755;
    if (mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return system_failure("make " + part, errno);
  }
  if (is_private(directory)) return Done{};
  return Failure{FailureKind::refused, directory + " belongs to, or can be written by, another user",
                 "name another directory, or chown and chmod 700 it"};
}

Outcome<std::unique_ptr<Ledger>> Ledger::open(const std::string& state_directory) {
  if (const Action made = make_private_directory(state_directory); !made) return made.failure();
  std::unique_ptr<Ledger> ledger(new Ledger);
  ledger->owner_ = getpid();
  // The address tells apart several ledgers of one process, as tests have them.
  ledger->record_path_ = fmt::format("{}/{}-{}-{:x}.json", state_directory, getpid(), start_ticks(getpid()),
                                     reinterpret_cast<uintptr_t>(ledger.get()));
  return ledger;
}

Ledger::~Ledger() {
  undo_all();
  Ledger* self = this;
  ledger_on_exit.compare_exchange_strong(self, nullptr);
}

Action Ledger::write_record() {
  if (made_.empty()) {
    unlink(record_path_.c_str());
    return Done{};
  }
  nlohmann::json list = nlohmann::json::array();
  for (const Made& made : made_) list.push_back({{"kind", to_text(made.kind)}, {"path", made.path}});
  const nlohmann::json record = {{"schema", "cowbench.state/1"}, {"pid", owner_}, {"start_ticks", start_ticks(owner_)},
                                 {"boot_id", boot_id()}, {"made", list}};
  const std::string text = record.dump(1);
  const std::string temporary = record_path_ + ".new";
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return system_failure("write " + temporary, errno);
  const bool written = write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       fsync(descriptor) == 0;
  const int error_number = errno;
  close(descriptor);
  if (!written) return system_failure("write " + temporary, error_number);
  if (rename(temporary.c_str(), record_path_.c_str()) != 0) return system_failure("write " + record_path_, errno);
  return Done{};
}

Action Ledger::make(const Made& made, const std::function<Action()>& make) {
  const std::lock_guard lock(mutex_);
  if (closed_) return Failure{FailureKind::interrupted, "interrupted", ""};
  if (!made.path.starts_with('/')) return not_absolute(made);
  const bool is_path = made.kind != MadeKind::loop && made.kind != MadeKind::mount;
  struct stat status = {};
  if (is_path && lstat(made.path.c_str(), &status) == 0)
    return Failure{FailureKind::refused, made.path + " exists already", "remove it if nothing needs it"};
  if (made.kind == MadeKind::mount && is_mounted(made.path))
    return Failure{FailureKind::refused, "something is mounted at " + made.path, "unmount it, or run cowbench cleanup"};
  made_.push_back(made);
  if (Action written = write_record(); !written) {
    made_.pop_back();
    return written;
  }
  Action result = make();
  if (!result) {
    const Action undone = undo_now(made);
    if (!undone)
      return Failure{result.failure().kind, result.failure().what + "; and " + to_text(undone.failure()), ""};
  }
  return result;
}

Action Ledger::undo_now(const Made& made) {
  const std::lock_guard lock(mutex_);
  const auto at = std::ranges::find(made_, made);
  if (at == made_.end()) return Done{};
  if (Action undone = undo(made); !undone) return undone;
  made_.erase(at);
  return write_record();
}

std::vector<std::string> Ledger::undo_all() {
  if (getpid() != owner_) return {};
  const std::lock_guard lock(mutex_);
  closed_ = true;
  std::vector<std::string> problems;
  std::vector<Made> left;
  for (; !made_.empty(); made_.pop_back()) {
    const Action undone = undo(made_.back(), true);
    if (undone) continue;
    problems.push_back(to_text(undone.failure()));
    left.insert(left.begin(), made_.back());
  }
  made_ = left;
  if (const Action written = write_record(); !written) problems.push_back(to_text(written.failure()));
  return problems;
}

void undo_on_exit(Ledger& ledger) {
  ledger_on_exit = &ledger;
  static bool installed = false;
  if (installed) return;
  installed = true;
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal_number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, [](int) { kill(getpid(), SIGHUP); });  // by itself it goes to whoever writes, and cannot be waited for
  std::thread(wait_for_signal, signals).detach();  // ends with the process, by design
  std::atexit(undo_registered_ledger);
  std::set_terminate([] {
    undo_registered_ledger();
    std::abort();
  });
}

CleanupReport clean_up_leftovers(const std::string& state_directory) {
  CleanupReport report;
  struct stat status = {};
  if (lstat(state_directory.c_str(), &status) != 0) return report;
  if (!is_private(state_directory)) {
    report.problems.push_back(state_directory + " can be written by another user: nothing in it is believed");
    return report;
  }
  for (const std::string& name : list_directory(state_directory)) {
    const std::string path = state_directory + "/" + name;
    // A ".new" was being written when its process died: what it would have named was not made yet.
    if (!name.ends_with(".json")) continue;
    const auto record = read_record(path);
    if (!record) {
      report.problems.push_back(path + ": not a record of this program");
    } else if (is_alive(*record)) {
      report.still_running.push_back(path);
    } else if (undo_record(*record, report)) {
      unlink(path.c_str());
    }
  }
  return report;
}

}  // namespace cowbench::harness
