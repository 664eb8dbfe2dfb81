#include "harness/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace cowbench::harness {
namespace {

struct KnownProgram {
  std::string_view name;
  std::string_view package;
};
constexpr KnownProgram known_programs[] = {
    {"mkfs.xfs", "xfsprogs"},   {"mkfs.ext4", "e2fsprogs"}, {"mkfs.btrfs", "btrfs-progs"}, {"mount", "mount"},
    {"umount", "mount"},        {"losetup", "mount"},       {"wipefs", "util-linux"},      {"setpriv", "util-linux"},
    {"dbench", "dbench"},       {"fio", "fio"},             {"git", "git"},             {"true", "coreutils"},         {"false", "coreutils"},
    {"sleep", "coreutils"},     {"printf", "coreutils"},    {"seq", "coreutils"},
};
constexpr const char* program_directories[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

std::atomic<pid_t> running_children[running_children_max];  // a negative number names a group
std::atomic<bool> interrupted_flag = false;

class FileDescriptor {
 public:
  explicit FileDescriptor(int number = -1) : number_(number) {}
  ~FileDescriptor() { reset(); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return number_; }
  void reset(int number = -1) {
    if (number_ >= 0) close(number_);
    number_ = number;
  }

 private:
  int number_;
};

struct Pipe {
  FileDescriptor read_end, write_end;
  bool open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
  }
};

class SpawnSettings {
 public:
  SpawnSettings(int output, int errors, const char* directory) {
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&actions);
    sigset_t none, defaults;
    sigemptyset(&none);
    sigfillset(&defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, errors, 2);
    if (directory != nullptr) posix_spawn_file_actions_addchdir_np(&actions, directory);
  }
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
};

// Reads what is there; false once the other end is closed.
bool drain(int descriptor, std::string& text) {
  char buffer[1 << 14];
  for (;;) {
    const ssize_t count = read(descriptor, buffer, sizeof buffer);
    if (count == 0) return false;
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    const size_t room = command_output_bytes_max - std::min(text.size(), command_output_bytes_max);
    text.append(buffer, std::min(static_cast<size_t>(count), room));
  }
}

// Collects output until the child itself ends: a grandchild that keeps the pipe open must not keep us.
bool collect(int child_descriptor, const Pipe& output, const Pipe& errors, u32 timeout_seconds, CommandResult& result) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(timeout_seconds);
  pollfd watched[] = {{child_descriptor, POLLIN, 0},
                      {output.read_end.get(), POLLIN, 0},
                      {errors.read_end.get(), POLLIN, 0}};
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    if (poll(watched, std::size(watched), static_cast<int>(left)) < 0 && errno != EINTR) return false;
    if (watched[1].fd >= 0 && !drain(watched[1].fd, result.output)) watched[1].fd = -1;
    if (watched[2].fd >= 0 && !drain(watched[2].fd, result.errors)) watched[2].fd = -1;
    if (watched[0].revents != 0) {
      drain(output.read_end.get(), result.output);
      drain(errors.read_end.get(), result.errors);
      return true;
    }
  }
}

bool needs_quotes(std::string_view text) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  return text.empty() || text.find_first_not_of(plain) != text.npos;
}

std::string quoted(std::string_view text) {
  if (!needs_quotes(text)) return std::string(text);
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

// Both ends: some programs say what is wrong first and then explain themselves at length.
std::string abridged(std::string text) {
  constexpr size_t end_bytes = 300;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  if (text.size() <= 2 * end_bytes) return text;
  return text.substr(0, end_bytes) + " ... " + text.substr(text.size() - end_bytes);
}

struct Launch {
  std::string text;  // for messages
  std::vector<std::string> words;
  const char* directory;  // nullptr: ours
  char* const* environment;
  u32 timeout_seconds;
};

Outcome<CommandResult> run_child(Launch launch) {
  if (interrupted()) return Failure{FailureKind::interrupted, launch.text + ": not started", ""};
  Pipe output, errors;
  if (!output.open() || !errors.open()) return system_failure("make a pipe", errno);

  std::vector<char*> arguments;
  for (std::string& word : launch.words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  SpawnSettings settings(output.write_end.get(), errors.write_end.get(), launch.directory);
  pid_t child = 0;
  const int spawned = posix_spawnp(&child, arguments.front(), &settings.actions, &settings.attributes, arguments.data(),
                                   launch.environment);
  if (spawned == ENOENT) return Failure{FailureKind::missing, launch.text + ": no such program or directory", ""};
  if (spawned != 0) return system_failure("start " + launch.text, spawned);
  const RunningChild tracked(child, RunningChild::Scope::group);
  output.write_end.reset();
  errors.write_end.reset();
  const FileDescriptor child_descriptor(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));

  CommandResult result;
  const bool ended = collect(child_descriptor.get(), output, errors, launch.timeout_seconds, result);
  if (!ended) kill(-child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended)
    return Failure{FailureKind::failed, fmt::format("{}: no end after {} s, killed", launch.text, launch.timeout_seconds), ""};
  if (WIFSIGNALED(status)) {
    return Failure{interrupted() ? FailureKind::interrupted : FailureKind::failed,
                   fmt::format("{}: killed by signal {}", launch.text, WTERMSIG(status)), ""};
  }
  result.exit_status = WEXITSTATUS(status);
  return result;
}

Outcome<CommandResult> checked(Outcome<CommandResult> result, const std::string& text) {
  if (result && result->exit_status != 0) {
    const std::string said = abridged(result->errors + result->output);
    return Failure{FailureKind::failed,
                   fmt::format("{}: exit status {}{}{}", text, result->exit_status, said.empty() ? "" : ": ", said), ""};
  }
  return result;
}

}  // namespace

std::string to_text(const Command& command) {
  std::string text = quoted(command.program);
  for (const std::string& argument : command.arguments) text += ' ' + quoted(argument);
  return text;
}

Outcome<std::string> find_program(std::string_view program) {
  const auto known = std::ranges::find(known_programs, program, &KnownProgram::name);
  if (known == std::end(known_programs))
    return Failure{FailureKind::request, fmt::format("{}: not a program that the harness may run", program), ""};
  for (const char* directory : program_directories) {
    std::string path = fmt::format("{}/{}", directory, program);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return Failure{FailureKind::missing, fmt::format("{} is not installed", program),
                 fmt::format("apt-get install {}", known->package)};
}

Outcome<CommandResult> run(const Command& command) {
  const auto path = find_program(command.program);
  if (!path) return path.failure();
  char locale[] = "LC_ALL=C";
  char search_path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char* environment[] = {locale, search_path, nullptr};
  std::vector<std::string> words{*path};
  words.insert(words.end(), command.arguments.begin(), command.arguments.end());
  return run_child({to_text(command), std::move(words), nullptr, environment, command.timeout_seconds});
}

Outcome<CommandResult> run_checked(const Command& command) { return checked(run(command), to_text(command)); }

std::string to_text(const NamedCommand& command) {
  std::string text;
  for (const std::string& word : command.words) text += (text.empty() ? "" : " ") + quoted(word);
  return text;
}

Outcome<CommandResult> run(const NamedCommand& command) {
  return run_child({to_text(command), command.words, command.directory.c_str(), environ, command.timeout_seconds});
}

Outcome<CommandResult> run_checked(const NamedCommand& command) { return checked(run(command), to_text(command)); }

RunningChild::RunningChild(pid_t child, Scope scope) {
  const pid_t target = scope == Scope::group ? -child : child;
  for (int slot = 0; slot < running_children_max; ++slot) {
    pid_t expected = 0;
    if (!running_children[slot].compare_exchange_strong(expected, target)) continue;
    slot_ = slot;
    break;
  }
  // An interruption between the spawn and this registration must not be missed.
  if (interrupted()) kill(target, SIGKILL);
}

RunningChild::~RunningChild() {
  if (slot_ >= 0) running_children[slot_] = 0;
}

void kill_running_children() {
  interrupted_flag = true;
  for (std::atomic<pid_t>& child : running_children)
    if (const pid_t target = child; target != 0) kill(target, SIGKILL);
}

bool interrupted() { return interrupted_flag; }

}  // namespace cowbench::harness
