#include "harness/holders.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>

#include "harness/device_identity.h"

namespace cowbench::harness {
namespace {

std::vector<pid_t> processes() {
  std::vector<pid_t> found;
  for (const std::string& name : list_directory("/proc"))
    if (name.find_first_not_of("0123456789") == name.npos) found.push_back(static_cast<pid_t>(std::stol(name)));
  return found;
}

std::string process_text(pid_t process) {
  return fmt::format("process {} ({})", process, read_first_line(fmt::format("/proc/{}/comm", process)));
}

bool leads_to(const std::string& link, dev_t number) {
  struct stat status = {};
  if (stat(link.c_str(), &status) != 0) return false;
  return S_ISBLK(status.st_mode) ? status.st_rdev == number : status.st_dev == number;
}

// Threads that have a table of descriptors or a directory of their own are looked at one by one.
bool has_open(pid_t process, dev_t number) {
  const std::string tasks = fmt::format("/proc/{}/task", process);
  for (const std::string& task : list_directory(tasks)) {
    const std::string directory = fmt::format("{}/{}", tasks, task);
    for (const char* link : {"/cwd", "/root"})
      if (leads_to(directory + link, number)) return true;
    for (const std::string& descriptor : list_directory(directory + "/fd"))
      if (leads_to(fmt::format("{}/fd/{}", directory, descriptor), number)) return true;
  }
  return false;
}

std::optional<dev_t> number_of(const std::string& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return {};
  return status.st_rdev;
}

// The source is compared too: btrfs shows a number of its own.
std::set<std::string> mount_points_in(const std::string& table, const std::vector<std::string>& numbers) {
  std::set<std::string> points;
  std::istringstream lines(read_small_file(table));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, number, root, point, word, type, source;
    fields >> id >> parent >> number >> root >> point;
    while (fields >> word && word != "-") {
    }
    fields >> type >> source;
    const auto source_number = source.starts_with('/') ? number_of(source) : std::nullopt;
    const bool same = std::ranges::count(numbers, number) > 0 ||
                      (source_number && std::ranges::count(numbers, to_text_number(*source_number)) > 0);
    if (same) points.insert(point);
  }
  return points;
}

}  // namespace

std::vector<Holder> openers_of(dev_t number) {
  std::vector<Holder> holders;
  for (const pid_t process : processes())
    if (has_open(process, number)) holders.push_back({process, "open in " + process_text(process)});
  return holders;
}

std::vector<std::string> mounts_of(const std::vector<std::string>& numbers) {
  std::vector<std::string> texts;
  for (const std::string& point : mount_points_in("/proc/self/mountinfo", numbers)) texts.push_back("mounted at " + point);
  struct stat own = {};
  std::set<ino_t> seen;
  if (stat("/proc/self/ns/mnt", &own) == 0) seen.insert(own.st_ino);
  for (const pid_t process : processes()) {
    struct stat other = {};
    if (stat(fmt::format("/proc/{}/ns/mnt", process).c_str(), &other) != 0 || !seen.insert(other.st_ino).second) continue;
    for (const std::string& point : mount_points_in(fmt::format("/proc/{}/mountinfo", process), numbers))
      texts.push_back(fmt::format("mounted at {}, seen by {}", point, process_text(process)));
  }
  return texts;
}

std::string holders_text(dev_t number) {
  std::vector<std::string> texts = mounts_of({to_text_number(number)});
  for (const Holder& holder : openers_of(number)) texts.push_back(holder.text);
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
  return all;
}

void wait_for_end_of_one(const std::vector<Holder>& holders, std::chrono::milliseconds longest) {
  std::vector<pollfd> watched;
  for (const Holder& holder : holders) {
    const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, holder.process, 0));
    if (descriptor >= 0) watched.push_back({descriptor, POLLIN, 0});
  }
  const bool all_live = watched.size() == holders.size();
  if (all_live) poll(watched.data(), watched.size(), static_cast<int>(longest.count()));
  for (const pollfd& one : watched) close(one.fd);
}

DeviceEvents::DeviceEvents() {
  socket_ = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;  // of the kernel itself
  if (socket_ >= 0 && bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return;
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
}

DeviceEvents::~DeviceEvents() {
  if (socket_ >= 0) close(socket_);
}

void DeviceEvents::wait(std::chrono::milliseconds longest) {
  pollfd watched = {socket_, POLLIN, 0};
  poll(&watched, 1, static_cast<int>(longest.count()));  // a negative descriptor is passed over
  char message[1 << 12];
  while (socket_ >= 0 && recv(socket_, message, sizeof message, 0) > 0) {
  }
}

}  // namespace cowbench::harness
