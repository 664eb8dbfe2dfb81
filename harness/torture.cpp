#include "harness/torture.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "engine/base/random.h"
#include "harness/byte_size.h"
#include "harness/command.h"
#include "harness/round_phases.h"
#include "harness/torture_internal.h"

namespace cowbench::harness {
namespace {

constexpr int verifier_limit_ms = 600'000;
constexpr u32 recovery_kill_ms_max = 40;

struct Unmap {
  void operator()(TortureMemory* memory) const { munmap(memory, sizeof *memory); }
};
using SharedMemory = std::unique_ptr<TortureMemory, Unmap>;

// A process of this one's program, killed when this one dies.
class Child {
 public:
  explicit Child(const std::function<void()>& body) {
    const pid_t parent = getpid();
    process_ = fork();
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == parent) body();
      _exit(0);
    }
    tracked_ = std::make_unique<RunningChild>(process_, RunningChild::Scope::process);
    descriptor_ = static_cast<int>(syscall(SYS_pidfd_open, process_, 0));
  }
  ~Child() {
    if (process_ > 0) kill_and_wait();
    close(descriptor_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool started() const { return process_ > 0; }
  // False when it still runs after so long.
  bool ended_within(int milliseconds) const {
    pollfd watched = {descriptor_, POLLIN, 0};
    return poll(&watched, 1, milliseconds) == 1;
  }
  // The signal that ended it; 0: it ended by itself.
  int kill_and_wait() {
    kill(process_, SIGKILL);
    int status = 0;
    while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    process_ = 0;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

 private:
  pid_t process_ = 0;
  int descriptor_ = -1;
  std::unique_ptr<RunningChild> tracked_;
};

class Round {
 public:
  Round(const TortureRequest& request, const std::string& device, TortureMemory& memory, u32 number)
      : request_(request), device_(device), memory_(memory), random_(request.seed + number - 1) {
    round_.number = number;
    round_.seed = request.seed + number - 1;
    settings_ = torture_settings(round_.seed);
    round_.settings = settings_.text();
  }

  Action run() {
    while (round_.lives < settings_.lives) {
      std::memset(static_cast<void*>(&memory_), 0, sizeof memory_);
      const TortureLife life{request_, settings_, device_, random_.next(), round_.lives == 0, memory_};
      ++round_.lives;
      for (const auto step : {&Round::live, &Round::recover, &Round::verify})
        if (const Action done = (this->*step)(life); !done) return done;
    }
    return Done{};
  }
  const TortureRound& result() const { return round_; }

 private:
  Failure failure(std::string_view who, int signal) const {
    const std::string why = memory_.failed != 0 ? memory_.failure
                            : signal != 0       ? fmt::format("was killed by signal {} ({})", signal, strsignal(signal))
                                                : "ended without a reason";
    const FailureKind kind = interrupted() ? FailureKind::interrupted : FailureKind::mismatch;
    return {kind, fmt::format("seed {}, life {}, the {}: {}", round_.seed, round_.lives, who, why), ""};
  }

  // Runs the clients until the kill.
  Action live(const TortureLife& life) {
    // Some kills come early: into the mount, or into the deletion of what the last life left.
    const TortureState from = random_.below(8) == 0 ? state_formatted : state_running;
    const int kill_after_ms = static_cast<int>(1 + random_.below(request_.kill_ms_max));
    Child worker([&] { torture_worker(life); });
    if (!worker.started()) return system_failure("start a worker", errno);
    bool ended = false;
    while (!ended && memory_.state < from) ended = worker.ended_within(1);
    ended = ended || worker.ended_within(from == state_running ? kill_after_ms : kill_after_ms % 50);
    const int signal = worker.kill_and_wait();
    if (ended || memory_.failed != 0) return failure("worker", signal);
    for (u32 client = 0; client < request_.clients; ++client) round_.operations += memory_.clients[client].begun;
    return Done{};
  }

  // Sometimes the mount after a kill is killed as well.
  Action recover(const TortureLife& life) {
    if (random_.below(3) != 0) return Done{};
    const int kill_after_ms = static_cast<int>(random_.below(recovery_kill_ms_max));
    Child recovery([&] { torture_recovery(life); });
    if (!recovery.started()) return system_failure("start a recovery", errno);
    const bool ended = recovery.ended_within(kill_after_ms);
    const int signal = recovery.kill_and_wait();
    if (memory_.failed != 0 || (ended && signal != 0)) return failure("recovery", signal);
    if (!ended) ++round_.recoveries_killed;
    return Done{};
  }

  Action verify(const TortureLife& life) {
    Child verifier([&] { torture_verifier(life); });
    if (!verifier.started()) return system_failure("start a verifier", errno);
    const bool ended = verifier.ended_within(verifier_limit_ms);
    const int signal = verifier.kill_and_wait();
    if (!ended && memory_.failed == 0) memory_.fail("took too long");
    if (memory_.failed != 0 || signal != 0) return failure("verifier", signal);
    round_.fsyncs += memory_.fsyncs;
    round_.files += memory_.files;
    round_.bytes += memory_.bytes;
    return Done{};
  }

  const TortureRequest& request_;
  const std::string& device_;
  TortureMemory& memory_;
  cowfs::Random random_;
  TortureSettings settings_;
  TortureRound round_;
};

}  // namespace

void TortureMemory::fail(std::string_view why) {
  if (failed != 0) return;  // the first reason counts
  const size_t length = std::min(why.size(), sizeof failure - 1);
  std::memcpy(failure, why.data(), length);
  failure[length] = 0;
  failed = 1;
}

std::string TortureSettings::text() const {
  std::string text = fmt::format("{} lives, {} cores, {} slices, cache {}, commit {} ms", lives, cores,
                                 slices == 0 ? "default" : std::to_string(slices), size_text(cache_bytes),
                                 commit_interval_ns / 1'000'000);
  if (sync_open) text += ", O_SYNC";
  if (sync_directories) text += ", directories synced";
  if (sync_writes) text += ", writes synced";
  return text;
}

TortureSettings torture_settings(u64 seed) {
  cowfs::Random random(~seed);
  constexpr u16 slices[] = {0, 1, 2, 4};
  constexpr u64 caches_mib[] = {32, 64, 256};
  constexpr u64 commits_ms[] = {10, 100, 1000};
  TortureSettings settings;
  settings.lives = static_cast<u32>(1 + random.below(3));
  const u64 processors = static_cast<u64>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  settings.cores = static_cast<u32>(1 + random.below(std::min<u64>(processors, 4)));
  settings.slices = slices[random.below(std::size(slices))];
  settings.cache_bytes = caches_mib[random.below(std::size(caches_mib))] * cowfs::mib;
  settings.commit_interval_ns = commits_ms[random.below(std::size(commits_ms))] * 1'000'000;
  settings.sync_open = random.below(8) == 0;
  settings.sync_directories = random.below(4) == 0;
  settings.sync_writes = random.below(8) == 0;
  return settings;
}

Action run_torture(const TortureRequest& request, Ledger& ledger) {
  if (request.clients == 0 || request.clients > torture_clients_max)
    return Failure{FailureKind::request, fmt::format("{} clients: 1 to {} are possible", request.clients, torture_clients_max), ""};
  auto media = Media::attach(ledger, request.media);
  if (!media) return media.failure();
  void* shared = mmap(nullptr, sizeof(TortureMemory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return system_failure("map memory", errno);
  const SharedMemory memory(static_cast<TortureMemory*>(shared));
  Action done = Done{};
  for (u32 number = 1; done && number <= request.rounds; ++number) {
    Round round(request, media->device(), *memory, number);
    done = round.run();
    if (done) request.progress(round.result());
  }
  Action detached = media->detach();
  return done ? detached : done;
}

}  // namespace cowbench::harness
