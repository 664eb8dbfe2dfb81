// Parent and clients share one anonymous mapping: a control word that says which phase it is, and for each client a
// slot with counters and histograms that it alone writes. In the measured loop a client reads the control word (a line
// that stays shared in all caches), makes its system calls, reads the clock once, and adds to its own slot: no system
// call, no lock and no allocation beyond the workload's.
#include "harness/posix_runner.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <sstream>
#include <thread>

#include "harness/command.h"
#include "harness/device_identity.h"
#include "harness/posix_fs.h"

namespace cowbench::harness {
namespace {

constexpr u64 second_ns = 1'000'000'000;
constexpr u64 start_limit_ns = 30 * second_ns;  // as dbench
constexpr u64 poll_ns = 20'000'000;
constexpr u64 stop_limit_ns = 120 * second_ns;  // for a client to come out of its last operation

enum Phase : u32 { phase_wait, phase_warmup, phase_measure, phase_stop, phase_cleanup };
enum State : u32 { state_starting, state_ready, state_stopped, state_failed, state_done };

struct Control {
  std::atomic<u32> phase;
};

constexpr size_t text_bytes_max = 1000;
constexpr size_t complaint_slots = 4;

struct alignas(128) Slot {
  std::atomic<u64> bytes;
  std::atomic<u64> operations;
  std::atomic<u64> write_bytes;
  std::atomic<u32> state;
  u64 passes, complaints, mismatches;
  double user_seconds, system_seconds;
  char failure[text_bytes_max];
  char complaint_texts[complaint_slots][text_bytes_max];
  results::HistogramCounts latency[workloads::op_kind_count];
};
static_assert(std::is_trivially_destructible_v<Slot> && std::atomic<u64>::is_always_lock_free);

u64 now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * second_ns + static_cast<u64>(now.tv_nsec);
}

void sleep_ns(u64 duration_ns) {
  timespec left{static_cast<time_t>(duration_ns / second_ns), static_cast<long>(duration_ns % second_ns)};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

double to_seconds(u64 duration_ns) { return static_cast<double>(duration_ns) / second_ns; }

// Not std::atomic::wait: that one works within a process only.
void wait_while(std::atomic<u32>& word, u32 value) {
  while (word.load(std::memory_order_acquire) == value)
    syscall(SYS_futex, &word, FUTEX_WAIT, value, nullptr, nullptr, 0);
}

void set_and_wake(std::atomic<u32>& word, u32 value) {
  word.store(value, std::memory_order_release);
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// One writer: a plain add without the bus lock of fetch_add.
void add(std::atomic<u64>& counter, u64 amount) {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

void copy_text(char (&into)[text_bytes_max], std::string_view text) {
  const size_t length = std::min(text.size(), text_bytes_max - 1);
  std::memcpy(into, text.data(), length);
  into[length] = 0;
}

class Shared {
 public:
  static Outcome<std::unique_ptr<Shared>> map(u32 clients) {
    auto shared = std::unique_ptr<Shared>(new Shared);
    shared->bytes_ = sizeof(Slot) * (u64{clients} + 1);
    constexpr int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
    void* memory = mmap(nullptr, shared->bytes_, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) return system_failure("map memory for the clients' counters", errno);
    shared->memory_ = memory;
    return shared;
  }
  ~Shared() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
  }
  // Anonymous memory is zero, and all-zero bytes are a valid Control and Slot.
  Control& control() { return *static_cast<Control*>(memory_); }
  Slot& slot(u32 client) { return static_cast<Slot*>(memory_)[client + 1]; }

 private:
  Shared() = default;
  void* memory_ = nullptr;
  u64 bytes_ = 0;
};

struct CpuTime {
  double user_seconds = 0;
  double system_seconds = 0;
};

CpuTime own_cpu_time() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return {seconds(usage.ru_utime), seconds(usage.ru_stime)};
}

class ClientHost {
 public:
  ClientHost(Control& control, Slot& slot) : control_(control), slot_(slot) {}

  u64 now_ns() const { return harness::now_ns(); }
  bool stop_requested() {
    const u32 phase = control_.phase.load(std::memory_order_relaxed);
    if (__builtin_expect(phase != phase_, 0)) enter(phase);
    return phase >= phase_stop;
  }
  void record(OpKind kind, u64 start_ns, u64 end_ns, u64 bytes) {
    add(slot_.operations, 1);
    if (bytes != 0) {
      add(slot_.bytes, bytes);
      if (kind == OpKind::write) add(slot_.write_bytes, bytes);
    }
    if (phase_ == phase_measure) slot_.latency[static_cast<size_t>(kind)].record(end_ns - start_ns);
  }
  void late(u64) {}
  void pass_done(u64) {}
  Ready<void> sleep(u64 duration_ns) {
    constexpr u64 slice_ns = 100'000'000;  // so that a long pause in the loadfile does not outlive the round
    while (duration_ns > 0 && !stop_requested()) {
      const u64 now = std::min(duration_ns, slice_ns);
      sleep_ns(now);
      duration_ns -= now;
    }
    return {};
  }

 private:
  void enter(u32 phase) {
    const CpuTime now = own_cpu_time();
    if (phase == phase_measure) at_measure_ = now;
    if (phase_ == phase_measure) {
      slot_.user_seconds = now.user_seconds - at_measure_.user_seconds;
      slot_.system_seconds = now.system_seconds - at_measure_.system_seconds;
    }
    phase_ = phase;
  }

  Control& control_;
  Slot& slot_;
  u32 phase_ = phase_wait;
  CpuTime at_measure_;
};
static_assert(DbenchHost<ClientHost>);

// A coroutine whose every call is ready runs to its end when it is started.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }
  };
};

template <typename T>
Detached store_result(cowfs::runtime::Task<T> task, std::optional<T>& into) {
  into = co_await task;
}
Detached await_end(cowfs::runtime::Task<void> task, bool& ended) {
  co_await task;
  ended = true;
}

void run_client(const RunRequest& request, u32 client, Shared& shared) {
  Control& control = shared.control();
  Slot& slot = shared.slot(client);
  if (!request.pins.pins.empty()) {
    const Action pinned = apply_pin(request.pins.for_client(client));
    if (!pinned) {
      copy_text(slot.failure, to_text(pinned.failure()));
      slot.state = state_failed;
      return;
    }
  }
  PosixFs filesystem;
  ClientHost host(control, slot);
  ClientOptions options = request.options;
  options.client = client;
  DbenchClient<PosixFs, ClientHost> dbench(*request.program, options, filesystem, host);
  slot.state = state_ready;
  wait_while(control.phase, phase_wait);

  std::optional<ClientOutcome> outcome;
  store_result(dbench.run(), outcome);
  assert(outcome.has_value());
  slot.passes = outcome->passes;
  slot.complaints = outcome->complaints;
  slot.mismatches = outcome->mismatches;
  for (size_t at = 0; at < std::min(complaint_slots, outcome->complaint_texts.size()); ++at)
    copy_text(slot.complaint_texts[at], outcome->complaint_texts[at]);
  if (outcome->failed) copy_text(slot.failure, outcome->message);
  slot.state = outcome->failed ? state_failed : state_stopped;
  for (u32 phase = 0; (phase = control.phase) < phase_cleanup;) wait_while(control.phase, phase);
  bool ended = false;
  await_end(dbench.cleanup(), ended);
  assert(ended);
  if (!outcome->failed) slot.state = state_done;
}

// The clients, however they run. Joined or killed, but never left behind.
class Clients {
 public:
  explicit Clients(Shared& shared) : shared_(shared) {}
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;
  ~Clients() { end(); }

  Action start(const RunRequest& request) {
    const pid_t parent = getpid();
    for (u32 client = 0; client < request.clients; ++client) {
      if (request.mode == ClientMode::threads) {
        threads_.emplace_back([&request, client, this] {
          // What separate processes have of their own; without it every open and close would meet one table's lock.
          unshare(CLONE_FILES | CLONE_FS);
          run_client(request, client, shared_);
        });
        continue;
      }
      const pid_t child = fork();
      if (child < 0) return system_failure(fmt::format("start client {}", client), errno);
      if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        run_client(request, client, shared_);
        _exit(0);
      }
      children_.push_back({child, std::make_unique<RunningChild>(child, RunningChild::Scope::process)});
    }
    return Done{};
  }

  // The first client process that is gone although it should not be.
  std::optional<std::string> died() {
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

  // Lets everybody go through the remaining phases, and waits. Processes that do not come are killed.
  void end() {
    set_and_wake(shared_.control().phase, phase_cleanup);
    const u64 limit = now_ns() + stop_limit_ns;
    for (Child& child : children_) {
      if (child.process == 0) continue;
      while (waitpid(child.process, nullptr, WNOHANG) == 0) {
        if (now_ns() > limit || interrupted()) kill(child.process, SIGKILL);
        sleep_ns(1'000'000);
      }
      child = {};
    }
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
  }

 private:
  struct Child {
    pid_t process = 0;
    std::unique_ptr<RunningChild> tracked;
  };
  Shared& shared_;
  std::vector<Child> children_;
  std::vector<std::thread> threads_;
};

struct MachineTime {
  double busy_seconds = 0;
  double steal_seconds = 0;
};

MachineTime machine_time() {
  std::istringstream line(read_first_line("/proc/stat"));
  std::string word;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, interrupt = 0, soft_interrupt = 0, steal = 0;
  line >> word >> user >> nice >> system >> idle >> iowait >> interrupt >> soft_interrupt >> steal;
  const double ticks_a_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  return {(user + nice + system + interrupt + soft_interrupt) / ticks_a_second, steal / ticks_a_second};
}

struct Totals {
  u64 at_ns = 0;
  u64 bytes = 0;
  u64 write_bytes = 0;
  u64 operations = 0;
  bool everybody_moved = true;
};

double rate(u64 after, u64 before, u64 duration_ns) {
  return duration_ns == 0 ? 0 : static_cast<double>(after - before) / to_seconds(duration_ns);
}

class Round {
 public:
  Round(const RunRequest& request, Shared& shared) : request_(request), shared_(shared), clients_(shared) {}

  Outcome<RoundResult> run() {
    if (Action started = clients_.start(request_); !started) return started.failure();
    if (Action ready = wait_for(state_ready, start_limit_ns, "not ready"); !ready) return ready.failure();
    started_ns_ = now_ns();
    set_and_wake(shared_.control().phase, phase_warmup);
    const u64 warmup_ns = to_ns(request_.warmup_seconds.value_or(std::floor(request_.seconds / 5)));
    if (Action warm = tick_until(RunProgress::Phase::warmup, warmup_ns); !warm) return warm.failure();

    const MachineTime machine_before = machine_time();
    const auto device_before = device_counters();
    const Totals before = totals();
    shared_.control().phase.store(phase_measure, std::memory_order_release);
    if (Action measured = tick_until(RunProgress::Phase::measure, to_ns(request_.seconds)); !measured)
      return measured.failure();
    const Totals after = totals();
    shared_.control().phase.store(phase_stop, std::memory_order_release);
    const MachineTime machine_after = machine_time();
    const auto device_after = device_counters();
    if (Action stopped = wait_for(state_stopped, stop_limit_ns, "still in its last operation"); !stopped)
      return stopped.failure();

    const u64 cleanup_start_ns = now_ns();
    report({RunProgress::Phase::cleanup, 0, 0, 0, 0});
    clients_.end();
    RoundResult result;
    result.cleanup_seconds = to_seconds(now_ns() - cleanup_start_ns);
    fill(result, before, after);
    result.machine_busy_seconds = machine_after.busy_seconds - machine_before.busy_seconds;
    result.machine_steal_seconds = machine_after.steal_seconds - machine_before.steal_seconds;
    if (device_before && device_after) result.device_moved = *device_after - *device_before;
    return result;
  }

 private:
  static u64 to_ns(double seconds) { return static_cast<u64>(std::llround(seconds * second_ns)); }

  Totals totals() {
    Totals sum;
    for (u32 client = 0; client < request_.clients; ++client) {
      const Slot& slot = shared_.slot(client);
      const u64 bytes = slot.bytes.load(std::memory_order_relaxed);
      sum.bytes += bytes;
      sum.write_bytes += slot.write_bytes.load(std::memory_order_relaxed);
      sum.operations += slot.operations.load(std::memory_order_relaxed);
      sum.everybody_moved = sum.everybody_moved && bytes > 0;
    }
    sum.at_ns = now_ns();
    return sum;
  }

  std::optional<DeviceCounters> device_counters() const {
    if (!request_.device) return {};
    auto counters = read_device_counters(*request_.device);
    return counters ? std::optional(*counters) : std::nullopt;
  }

  // What ends a round early, if anything does.
  Action look_for_trouble() {
    if (interrupted()) return Failure{FailureKind::interrupted, "interrupted", ""};
    for (u32 client = 0; client < request_.clients; ++client) {
      const Slot& slot = shared_.slot(client);
      if (slot.state.load(std::memory_order_acquire) == state_failed)
        return Failure{FailureKind::mismatch, slot.failure,
                       "the target or the loadfile is wrong; nothing of this round counts"};
    }
    if (const auto death = clients_.died()) return Failure{FailureKind::failed, *death, ""};
    return Done{};
  }

  Action wait_for(State state, u64 limit_ns, const char* otherwise) {
    const u64 limit = now_ns() + limit_ns;
    for (u32 client = 0; client < request_.clients;) {
      const u32 reached = shared_.slot(client).state.load(std::memory_order_acquire);
      if (reached >= state && reached != state_failed) {
        ++client;
        continue;
      }
      if (Action fine = look_for_trouble(); !fine) return fine;
      if (now_ns() > limit)
        return Failure{FailureKind::failed,
                       fmt::format("client {}: {} after {} s", client, otherwise, limit_ns / second_ns), ""};
      sleep_ns(1'000'000);
    }
    return Done{};
  }

  void report(const RunProgress& progress) {
    if (request_.progress) request_.progress(progress);
  }

  bool everybody_stopped() {
    for (u32 client = 0; client < request_.clients; ++client)
      if (shared_.slot(client).state.load(std::memory_order_relaxed) < state_stopped) return false;
    return true;
  }

  Action tick_until(RunProgress::Phase phase, u64 duration_ns) {
    const bool warmup = phase == RunProgress::Phase::warmup;
    const Totals first = totals();
    Totals last = first;
    const u64 end_ns = first.at_ns + duration_ns;
    for (u64 tick_ns = first.at_ns + second_ns;;) {
      const u64 now = now_ns();
      // Past its end, a warm-up goes on until every client has moved a byte.
      const bool over = now >= end_ns && (!warmup || last.everybody_moved || totals().everybody_moved);
      if (now >= tick_ns || over) {
        const Totals here = totals();
        const double cumulative = rate(here.bytes, first.bytes, here.at_ns - first.at_ns) / 1e6;
        if (here.at_ns > last.at_ns) {
          series_.push_back({to_seconds(here.at_ns - started_ns_), warmup,
                             rate(here.bytes, last.bytes, here.at_ns - last.at_ns) / 1e6,
                             rate(here.operations, last.operations, here.at_ns - last.at_ns), cumulative});
        }
        report({phase, to_seconds(here.at_ns - first.at_ns), to_seconds(duration_ns), cumulative,
                rate(here.operations, first.operations, here.at_ns - first.at_ns)});
        last = here;
        while (tick_ns <= now) tick_ns += second_ns;
      }
      if (over) return Done{};
      if (Action fine = look_for_trouble(); !fine) return fine;
      // With a limit of passes the clients may all be done before the time is.
      if (everybody_stopped()) return Done{};
      const u64 wake_ns = std::min({now + poll_ns, tick_ns, std::max(end_ns, now + poll_ns / 10)});
      sleep_ns(wake_ns > now ? wake_ns - now : 1);
    }
  }

  void fill(RoundResult& result, const Totals& before, const Totals& after) {
    const u64 duration_ns = after.at_ns - before.at_ns;
    result.warmup_seconds = to_seconds(before.at_ns - started_ns_);
    result.measured_seconds = to_seconds(duration_ns);
    result.bytes = after.bytes - before.bytes;
    result.write_bytes = after.write_bytes - before.write_bytes;
    result.operations = after.operations - before.operations;
    result.throughput_mb_s = rate(after.bytes, before.bytes, duration_ns) / 1e6;
    result.ops_s = rate(after.operations, before.operations, duration_ns);
    result.series = std::move(series_);
    for (u32 client = 0; client < request_.clients; ++client) {
      const Slot& slot = shared_.slot(client);
      for (size_t kind = 0; kind < workloads::op_kind_count; ++kind)
        if (!slot.latency[kind].empty()) result.latency[kind].merge(slot.latency[kind]);
      result.client_user_seconds += slot.user_seconds;
      result.client_system_seconds += slot.system_seconds;
      result.passes += slot.passes;
      result.complaints += slot.complaints;
      result.verify_mismatches += slot.mismatches;
      for (const auto& text : slot.complaint_texts)
        if (text[0] != 0 && result.complaint_texts.size() < complaint_texts_max) result.complaint_texts.push_back(text);
    }
  }

  const RunRequest& request_;
  Shared& shared_;
  Clients clients_;
  u64 started_ns_ = 0;
  std::vector<SecondSample> series_;
};

}  // namespace

std::string_view to_text(ClientMode mode) { return mode == ClientMode::processes ? "processes" : "threads"; }

Outcome<RoundResult> run_on_directory(const RunRequest& request) {
  assert(request.program != nullptr);
  if (request.clients == 0 || request.clients > clients_max)
    return Failure{FailureKind::request, fmt::format("{} clients: 1 to {}", request.clients, clients_max), ""};
  if (!(request.seconds > 0)) return Failure{FailureKind::request, "the time to run must be more than 0 s", ""};
  auto shared = Shared::map(request.clients);
  if (!shared) return shared.failure();
  Round round(request, **shared);
  return round.run();
}

}  // namespace cowbench::harness
