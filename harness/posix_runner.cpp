#include "harness/posix_runner.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>

#include "harness/command.h"
#include "harness/null_target.h"
#include "harness/posix_fs.h"
#include "harness/ready_task.h"

namespace cowbench::harness {
namespace {

constexpr u64 end_limit_ns = 120'000'000'000;  // for a client to delete its files

void sleep_ns(u64 duration_ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(duration_ns)); }

class ThreadHost : public CountingHost {
 public:
  ThreadHost(RoundMemory& memory, u32 client) : CountingHost(memory, client, client) { own_thread_ = true; }
  Ready<void> sleep(u64 duration_ns) {
    constexpr u64 slice_ns = 100'000'000;  // so that a long pause in the loadfile does not outlive the round
    while (duration_ns > 0 && !stop_requested()) {
      const u64 now = std::min(duration_ns, slice_ns);
      sleep_ns(now);
      duration_ns -= now;
    }
    return {};
  }
};
static_assert(DbenchHost<ThreadHost>);

template <TargetCalls Target>
void run_client(const RunRequest& request, u32 client, RoundMemory& memory) {
  ClientSlot& slot = memory.slot(client);
  if (!request.pins.pins.empty()) {
    const Action pinned = apply_pin(request.pins.for_client(client));
    if (!pinned) return slot.fail(to_text(pinned.failure()));
  }
  Target target;
  ThreadHost host(memory, client);
  ClientOptions options = request.options;
  options.client = client;
  DbenchClient<Target, ThreadHost> dbench(*request.program, options, target, host);
  slot.state = state_ready;
  memory.wait_while(phase_wait);

  const ClientOutcome outcome = run_ready(dbench.run());
  slot.note(outcome);
  for (const Phase phase : {phase_warmup, phase_measure, phase_stop}) memory.wait_while(phase);
  run_ready(dbench.cleanup());
  if (!outcome.failed) slot.state = state_done;
}

using ClientFunction = void (*)(const RunRequest& request, u32 client, RoundMemory& memory);

// Processes or threads. Joined or killed, but never left behind.
class KernelClients : public ClientGroup {
 public:
  KernelClients(const RunRequest& request, RoundMemory& memory, ClientFunction function)
      : request_(request), memory_(memory), function_(function) {}

  Action start() override {
    const pid_t parent = getpid();
    for (u32 client = 0; client < request_.clients; ++client) {
      if (request_.mode == ClientMode::threads) {
        threads_.emplace_back([client, this] {
          // What separate processes have of their own; without it every open and close would meet one table's lock.
          unshare(CLONE_FILES | CLONE_FS);
          function_(request_, client, memory_);
        });
        continue;
      }
      const pid_t child = fork();
      if (child < 0) return system_failure(fmt::format("start client {}", client), errno);
      if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        function_(request_, client, memory_);
        _exit(0);
      }
      children_.push_back({child, std::make_unique<RunningChild>(child, RunningChild::Scope::process)});
    }
    return Done{};
  }

  std::optional<std::string> died() override {
    for (size_t client = 0; client < children_.size(); ++client) {
      if (children_[client].process == 0) continue;
      int status = 0;
      if (waitpid(children_[client].process, &status, WNOHANG) != children_[client].process) continue;
      children_[client] = {};
      if (WIFSIGNALED(status)) return fmt::format("client {} was killed by signal {}", client, WTERMSIG(status));
      if (WEXITSTATUS(status) != 0) return fmt::format("client {} ended with status {}", client, WEXITSTATUS(status));
    }
    return {};
  }

  // Processes that do not come are killed.
  Action end() override {
    memory_.enter(phase_cleanup);
    const u64 limit = monotonic_ns() + end_limit_ns;
    for (Child& child : children_) {
      if (child.process == 0) continue;
      while (waitpid(child.process, nullptr, WNOHANG) == 0) {
        if (monotonic_ns() > limit || interrupted()) kill(child.process, SIGKILL);
        sleep_ns(1'000'000);
      }
      child = {};
    }
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
    return Done{};
  }

 private:
  struct Child {
    pid_t process = 0;
    std::unique_ptr<RunningChild> tracked;
  };
  const RunRequest& request_;
  RoundMemory& memory_;
  const ClientFunction function_;
  std::vector<Child> children_;
  std::vector<std::thread> threads_;
};

Outcome<RoundResult> run_round(const RunRequest& request, ClientFunction function) {
  if (const Action fine = check(request); !fine) return fine.failure();
  auto memory = RoundMemory::map(request.clients, request.clients);
  if (!memory) return memory.failure();
  KernelClients clients(request, **memory, function);
  return run_phases(request, **memory, clients);
}

}  // namespace

std::string_view to_text(ClientMode mode) { return mode == ClientMode::processes ? "processes" : "threads"; }

Outcome<RoundResult> run_on_directory(const RunRequest& request) { return run_round(request, run_client<PosixFs>); }

Outcome<RoundResult> run_on_nothing(const RunRequest& request) { return run_round(request, run_client<NullTarget>); }

}  // namespace cowbench::harness
