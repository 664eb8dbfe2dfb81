// A process leaves a group by entering another. Which one that was before is a fact of the process, so it is kept once,
// for the thread that undoes everything after a signal, too.
#include "harness/memory_group.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <mutex>
#include <sstream>
#include <vector>

#include "harness/cleanup.h"
#include "harness/device_identity.h"
#include "harness/holders.h"

namespace cowbench::harness {
namespace {

std::mutex home_mutex;
std::string home;  // the group that this process came from; empty: it is at home

struct Files {
  const char* limit;
  const char* peak;
  const char* events;  // has a line "oom_kill N"
};
constexpr Files files_v1 = {"memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"};
constexpr Files files_v2 = {"memory.max", "memory.peak", "memory.events"};

bool has_word(std::string_view words, std::string_view wanted, char separator) {
  while (!words.empty()) {
    const size_t end = std::min(words.find(separator), words.size());
    if (words.substr(0, end) == wanted) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

Action write_word(const std::string& path, const std::string& word) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return system_failure("open " + path, errno);
  const bool written = write(descriptor, word.data(), word.size()) == static_cast<ssize_t>(word.size());
  const int error_number = errno;
  close(descriptor);
  return written ? Action(Done{}) : Action(system_failure(fmt::format("write {} to {}", word, path), error_number));
}

Failure unusable(std::string why) { return {FailureKind::missing, "no memory cgroup: " + std::move(why), ""}; }

struct Mount {
  std::string root, point;
};

// The mounts of both versions' memory controllers; empty points where there is none.
void find_mounts(std::string_view mountinfo, Mount& v1, Mount& v2) {
  std::istringstream lines{std::string(mountinfo)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, number, root, point, word, type, source, options;
    fields >> id >> parent >> number >> root >> point;
    while (fields >> word && word != "-") {
    }
    fields >> type >> source >> options;
    if (type == "cgroup" && has_word(options, "memory", ',')) v1 = {root, point};
    if (type == "cgroup2") v2 = {root, point};
  }
}

// "/a/b" of "4:memory:/a/b" or "0::/a/b".
std::string group_of(std::string_view cgroup, int version) {
  std::istringstream lines{std::string(cgroup)};
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version == 1 ? has_word(controllers, "memory", ',') : controllers.empty()) return line.substr(second + 1);
  }
  return "";
}

// Where `group` of the hierarchy lies below a mount that may show only a part of it; empty when it is not shown.
std::string directory_of(const Mount& mount, const std::string& group) {
  const std::string root = mount.root == "/" ? "" : mount.root;
  if (group.empty() || group.starts_with("/..") || !(group + "/").starts_with(root + "/")) return "";
  const std::string below = group.substr(root.size());
  return below.empty() || below == "/" ? mount.point : mount.point + below;
}

std::vector<Holder> members_of(const std::string& path) {
  std::vector<Holder> members;
  std::istringstream lines(read_small_file(path + "/cgroup.procs"));
  for (pid_t process; lines >> process;) members.push_back({process, fmt::format("process {}", process)});
  return members;
}

const Files& files_of(const std::string& path) {
  return access(fmt::format("{}/{}", path, files_v1.limit).c_str(), F_OK) == 0 ? files_v1 : files_v2;
}

Action go_home() {
  const std::lock_guard lock(home_mutex);
  if (home.empty()) return Done{};
  Action left = write_word(home + "/cgroup.procs", "0");
  if (left) home.clear();
  return left;
}

}  // namespace

Outcome<MemoryController> locate_memory_controller(std::string_view cgroup, std::string_view mountinfo) {
  Mount v1, v2;
  find_mounts(mountinfo, v1, v2);
  if (v1.point.empty() && v2.point.empty()) return unusable("neither version's memory controller is mounted");
  MemoryController controller;
  controller.version = v1.point.empty() ? 2 : 1;
  const Mount& mount = controller.version == 1 ? v1 : v2;
  controller.own = directory_of(mount, group_of(cgroup, controller.version));
  if (controller.own.empty()) return unusable("this process's group is not shown below " + mount.point);
  const bool beside = controller.version == 2 && controller.own != mount.point;
  controller.parent = beside ? controller.own.substr(0, controller.own.rfind('/')) : controller.own;
  return controller;
}

Outcome<MemoryController> find_memory_controller() {
  auto controller = locate_memory_controller(read_small_file("/proc/self/cgroup"), read_small_file("/proc/self/mountinfo"));
  if (!controller) return controller;
  const std::string& parent = controller->parent;
  if (controller->version == 2 && !has_word(read_first_line(parent + "/cgroup.subtree_control"), "memory", ' '))
    return unusable(fmt::format("{} does not hand the memory controller down (cgroup.subtree_control)", parent));
  if (access(parent.c_str(), W_OK) != 0) return unusable(fmt::format("no permission to make a group in {}", parent));
  return controller;
}

std::string memory_group_path(const MemoryController& controller) {
  return fmt::format("{}/cowbench-{}", controller.parent, getpid());
}

Action make_memory_group(const MemoryController& controller, const std::string& path, u64 limit_bytes) {
  if (mkdir(path.c_str(), 0755) != 0) return system_failure("make " + path, errno);
  const Files& files = controller.version == 1 ? files_v1 : files_v2;
  return write_word(fmt::format("{}/{}", path, files.limit), std::to_string(limit_bytes));
}

Action remove_memory_group(const std::string& path) {
  using Clock = std::chrono::steady_clock;
  constexpr auto step_max = std::chrono::milliseconds(50);  // a process may also go to another group, unannounced
  const auto deadline = Clock::now() + std::chrono::milliseconds(patience_ms);
  while (rmdir(path.c_str()) != 0 && errno != ENOENT) {
    if (errno != EBUSY) return system_failure("remove " + path, errno);
    std::vector<Holder> members = members_of(path);
    if (std::erase_if(members, [](const Holder& member) { return member.process == getpid(); }) > 0)
      if (Action left = go_home(); !left) return left;
    if (Clock::now() >= deadline) {
      std::string text;
      for (const Holder& member : members) text += (text.empty() ? "" : ", ") + member.text;
      return Failure{FailureKind::failed, fmt::format("{} is not empty: {}", path, text), ""};
    }
    if (!members.empty()) wait_for_end_of_one(members, step_max);
  }
  return Done{};
}

std::optional<u64> memory_group_peak(const std::string& path) {
  const std::string text = read_first_line(fmt::format("{}/{}", path, files_of(path).peak));
  u64 bytes = 0;
  const bool read = std::from_chars(text.data(), text.data() + text.size(), bytes).ec == std::errc{};
  return read ? std::optional(bytes) : std::nullopt;
}

void reset_memory_group_peak(const std::string& path) {
  // Where the kernel cannot (version 2 before Linux 6.12), the peak is that of all rounds so far.
  static_cast<void>(write_word(fmt::format("{}/{}", path, files_of(path).peak), "0").ok());
}

u64 memory_group_kills(const std::string& path) {
  std::istringstream lines(read_small_file(fmt::format("{}/{}", path, files_of(path).events)));
  std::string key;
  for (u64 number = 0; lines >> key >> number;)
    if (key == "oom_kill") return number;
  return 0;
}

Outcome<InsideMemoryGroup> InsideMemoryGroup::enter(const MemoryController& controller, const std::string& path) {
  const std::lock_guard lock(home_mutex);
  assert(home.empty());
  if (const Action entered = write_word(path + "/cgroup.procs", "0"); !entered) return entered.failure();
  home = controller.own;
  return InsideMemoryGroup();
}

InsideMemoryGroup::InsideMemoryGroup(InsideMemoryGroup&& other) noexcept : inside_(std::exchange(other.inside_, false)) {}

InsideMemoryGroup::~InsideMemoryGroup() {
  if (inside_) static_cast<void>(go_home().ok());  // if that failed, remove_memory_group() tries again, and says so
}

}  // namespace cowbench::harness
