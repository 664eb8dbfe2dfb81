#include "harness/kernel_clients.h"

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

namespace cowbench::harness {
namespace {

constexpr u64 end_limit_ns = 120'000'000'000;  // for a client to delete its files

void sleep_ns(u64 duration_ns) { std::this_thread::sleep_for(std::chrono::nanoseconds(duration_ns)); }

// Processes or threads. Joined or killed, but never left behind.
class KernelClients : public ClientGroup {
 public:
  KernelClients(u32 clients, ClientMode mode, RoundMemory& memory, const KernelClient& function)
      : clients_(clients), mode_(mode), memory_(memory), function_(function) {}

  Action start() override {
    const pid_t parent = getpid();
    for (u32 client = 0; client < clients_; ++client) {
      if (mode_ == ClientMode::threads) {
        threads_.emplace_back([client, this] {
          // What separate processes have of their own; without it every open and close would meet one table's lock.
          unshare(CLONE_FILES | CLONE_FS);
          function_(client, memory_);
        });
        continue;
      }
      const pid_t child = fork();
      if (child < 0) return system_failure(fmt::format("start client {}", client), errno);
      if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        function_(client, memory_);
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
  const u32 clients_;
  const ClientMode mode_;
  RoundMemory& memory_;
  const KernelClient& function_;
  std::vector<Child> children_;
  std::vector<std::thread> threads_;
};

}  // namespace

std::string_view to_text(ClientMode mode) { return mode == ClientMode::processes ? "processes" : "threads"; }

Action apply_pin_of(const RoundRequest& request, u32 client) {
  if (request.pins.pins.empty()) return Done{};
  return apply_pin(request.pins.for_client(client, request.clients));
}

Outcome<RoundResult> run_kernel_clients(const RoundRequest& request, ClientMode mode, const KernelClient& function) {
  if (const Action fine = check(request); !fine) return fine.failure();
  auto memory = RoundMemory::map(request.clients, request.clients);
  if (!memory) return memory.failure();
  KernelClients clients(request.clients, mode, **memory, function);
  return run_phases(request, **memory, clients);
}

}  // namespace cowbench::harness
