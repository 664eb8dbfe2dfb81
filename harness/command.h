// Runs other programs: a vector of arguments, never a shell; only programs of a fixed list, found in fixed directories, and
// those that a person named.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/types.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u32;
using cowfs::u64;

struct Command {
  std::string program;  // a bare name from the list in command.cpp
  std::vector<std::string> arguments;
  u32 timeout_seconds = 120;
};

// As one would type it, quoted where a shell would need it: what --plan prints.
std::string to_text(const Command& command);

struct CommandResult {
  int exit_status = 0;
  std::string output;  // standard output, the first command_output_bytes_max bytes
  std::string errors;  // standard error, likewise
};
constexpr size_t command_output_bytes_max = 8 << 20;

// The program's full path. Failure request: not on the list; missing: not installed (the remedy names the package).
Outcome<std::string> find_program(std::string_view program);

// Waits for the end. The child leads its own process group, starts with an unblocked signal mask and LC_ALL=C, and
// reads from /dev/null. A non-zero exit status is a result, not a failure. Failures: find_program's; failed: it could
// not be started, was killed by a signal or ran out of time (its whole group is then killed); interrupted:
// kill_running_children() ended it.
Outcome<CommandResult> run(const Command& command);

// The same, and a non-zero exit status is a failure that quotes what it said.
Outcome<CommandResult> run_checked(const Command& command);

// What a person wrote down to be run: found in PATH, or from `directory` when its name has a slash, and run there with
// this process's environment.
struct NamedCommand {
  std::vector<std::string> words;  // the program and its arguments; not empty
  std::string directory;
  u32 timeout_seconds = 120;
};
std::string to_text(const NamedCommand& command);

// As above. Failure missing: there is no such program.
Outcome<CommandResult> run(const NamedCommand& command);
Outcome<CommandResult> run_checked(const NamedCommand& command);

// Children that must not outlive an interrupted run. Async-signal-safe to kill; at most running_children_max at a time
// (later ones are not tracked: they die with their parent, see posix_runner).
class RunningChild {
 public:
  enum class Scope { process, group };
  RunningChild(pid_t child, Scope scope);
  ~RunningChild();
  RunningChild(const RunningChild&) = delete;
  RunningChild& operator=(const RunningChild&) = delete;

 private:
  int slot_ = -1;
};
constexpr int running_children_max = 4096;

// SIGKILL to every tracked child; from then on run() reports interrupted.
void kill_running_children();
bool interrupted();

}  // namespace cowbench::harness
