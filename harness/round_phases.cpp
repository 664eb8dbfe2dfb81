#include "harness/round_phases.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstring>
#include <sstream>

#include "harness/command.h"
#include "harness/device_identity.h"
#include "harness/steady_state.h"

namespace cowbench::harness {
namespace {

constexpr u64 second_ns = 1'000'000'000;
constexpr u64 start_limit_ns = 30 * second_ns;  // as dbench
constexpr u64 poll_ns = 20'000'000;
constexpr u64 stop_limit_ns = 120 * second_ns;  // for a client to come out of its last operation

static_assert(std::is_trivially_destructible_v<ClientSlot> && std::atomic<u64>::is_always_lock_free);
static_assert(sizeof(RoundControl) % alignof(ClientSlot) == 0 && sizeof(ClientSlot) % alignof(LatencyTable) == 0);

void sleep_ns(u64 duration_ns) {
  timespec left{static_cast<time_t>(duration_ns / second_ns), static_cast<long>(duration_ns % second_ns)};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

double to_seconds(u64 duration_ns) { return static_cast<double>(duration_ns) / second_ns; }
double to_seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}
u64 to_ns(double seconds) { return static_cast<u64>(std::llround(seconds * second_ns)); }

void copy_text(char (&into)[client_text_bytes_max], std::string_view text) {
  const size_t length = std::min(text.size(), client_text_bytes_max - 1);
  std::memcpy(into, text.data(), length);
  into[length] = 0;
}

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
  bool everybody_moves = true;
};

double rate(u64 after, u64 before, u64 duration_ns) {
  return duration_ns == 0 ? 0 : static_cast<double>(after - before) / to_seconds(duration_ns);
}

class Round {
 public:
  Round(const RoundRequest& request, RoundMemory& memory, ClientGroup& group)
      : request_(request), memory_(memory), group_(group) {}

  Outcome<RoundResult> run() {
    RoundResult result;
    const Action measured = measure(result);
    const u64 cleanup_start_ns = monotonic_ns();
    if (measured) report({.phase = RunProgress::Phase::cleanup});
    const Action ended = group_.end();
    if (!measured) return measured.failure();
    if (!ended) return ended.failure();
    result.cleanup_seconds = to_seconds(monotonic_ns() - cleanup_start_ns);
    add_clients(result);
    return result;
  }

 private:
  Action measure(RoundResult& result) {
    if (Action started = group_.start(); !started) return started;
    if (Action ready = wait_for(state_ready, start_limit_ns, "not ready"); !ready) return ready;
    started_ns_ = monotonic_ns();
    if (Action warm = warm_up(result); !warm) return warm;

    group_.window_begins();
    const MachineTime machine_before = machine_time();
    const auto device_before = device_counters();
    const Totals before = totals();
    memory_.enter(phase_measure);
    if (Action ticked = measure_window(result); !ticked) return ticked;
    const Totals after = totals();
    memory_.control().phase.store(phase_stop, std::memory_order_release);
    const MachineTime machine_after = machine_time();
    const auto device_after = device_counters();
    group_.window_ends();
    if (Action stopped = wait_for(state_stopped, stop_limit_ns, "still in its last operation"); !stopped)
      return stopped;

    fill(result, before, after);
    result.machine_busy_seconds = machine_after.busy_seconds - machine_before.busy_seconds;
    result.machine_steal_seconds = machine_after.steal_seconds - machine_before.steal_seconds;
    if (device_before && device_after) result.device_moved = *device_after - *device_before;
    return Done{};
  }

  Action warm_up(RoundResult& result) {
    if (request_.precondition_seconds > 0) return precondition(result);
    const u64 warmup_ns = to_ns(warmup_seconds(request_));
    if (warmup_ns == 0 && !request_.warm_until_all_move) return Done{};
    memory_.enter(phase_warmup);
    return tick_until(RunProgress::Phase::warmup, warmup_ns);
  }

  Action precondition(RoundResult& result) {
    SteadyBySnia steady(request_.precondition_seconds);
    memory_.enter(phase_warmup);
    const u64 longest_ns = u64{SteadyBySnia::windows_max} * request_.precondition_seconds * second_ns;
    const Action ticked = tick_until(RunProgress::Phase::warmup, longest_ns, &steady);
    result.remarks.push_back(fmt::format("preconditioned for {} windows of {} s{}", steady.windows_seen(), request_.precondition_seconds,
                                         settled_ ? "" : ": NOT STEADY by then"));
    return ticked;
  }

  Action measure_window(RoundResult& result) {
    const u64 duration_ns = to_ns(request_.seconds);
    if (!request_.steady.on()) return tick_until(RunProgress::Phase::measure, duration_ns);
    SteadyByRule steady(request_.steady);
    const Action ticked = tick_until(RunProgress::Phase::measure, duration_ns, &steady);
    if (settled_) {
      result.steady = {steady.ops_s(), steady.mb_s()};
    } else {
      result.remarks.push_back(fmt::format("NOT STEADY after {} s", request_.seconds));
    }
    return ticked;
  }

  Totals totals() {
    Totals sum;
    for (u32 client = 0; client < request_.clients; ++client) {
      const ClientSlot& slot = memory_.slot(client);
      const u64 bytes = slot.bytes.load(std::memory_order_relaxed);
      sum.bytes += bytes;
      sum.write_bytes += slot.write_bytes.load(std::memory_order_relaxed);
      const u64 operations = slot.operations.load(std::memory_order_relaxed);
      sum.everybody_moves = sum.everybody_moves && (request_.moves_bytes ? bytes : operations) > 0;
      sum.operations += operations;
    }
    sum.at_ns = everybody_stopped() ? last_stop_ns() : monotonic_ns();
    return sum;
  }

  results::LatencyBuckets latencies() {
    results::LatencyBuckets sum{};
    for (u32 table = 0; table < memory_.latency_tables(); ++table)
      for (size_t bucket = 0; bucket < sum.size(); ++bucket)
        sum[bucket] += memory_.latency(table).all[bucket].load(std::memory_order_relaxed);
    return sum;
  }

  // Everything that is looked at each second.
  struct Seen {
    Totals totals;
    results::LatencyBuckets latencies;
    std::optional<EngineProgress> engine;
    std::optional<DeviceCounters> device;
  };
  Seen look() { return {totals(), latencies(), group_.engine_progress(), device_counters()}; }

  void keep_second(bool warmup, const Seen& first, const Seen& last, const Seen& now) {
    const u64 duration_ns = now.totals.at_ns - last.totals.at_ns;
    SecondSample& second = series_.emplace_back();
    second.seconds = to_seconds(now.totals.at_ns - started_ns_);
    second.warmup = warmup;
    second.throughput_mb_s = rate(now.totals.bytes, last.totals.bytes, duration_ns) / 1e6;
    second.ops_s = rate(now.totals.operations, last.totals.operations, duration_ns);
    second.cumulative_mb_s = rate(now.totals.bytes, first.totals.bytes, now.totals.at_ns - first.totals.at_ns) / 1e6;
    second.latency = results::difference(now.latencies, last.latencies);
    if (now.engine && last.engine) second.engine = *now.engine - *last.engine;
  }

  void report_since(RunProgress::Phase phase, u64 total_ns, const Seen& first, const Seen& now) {
    const u64 duration_ns = now.totals.at_ns - first.totals.at_ns;
    RunProgress progress{.phase = phase,
                         .elapsed_seconds = to_seconds(duration_ns),
                         .total_seconds = to_seconds(total_ns),
                         .throughput_mb_s = rate(now.totals.bytes, first.totals.bytes, duration_ns) / 1e6,
                         .ops_s = rate(now.totals.operations, first.totals.operations, duration_ns),
                         .latency_p99_ns = results::percentile_ns(results::difference(now.latencies, first.latencies), 0.99)};
    const auto moved = [&](auto before, auto after) { return rate(after, before, duration_ns) / 1e6; };
    if (now.device && first.device) {
      progress.device_write_mb_s = moved(first.device->write_bytes, now.device->write_bytes);
      progress.device_read_mb_s = moved(first.device->read_bytes, now.device->read_bytes);
    } else if (now.engine && first.engine) {
      progress.device_write_mb_s = moved(first.engine->device_write_bytes, now.engine->device_write_bytes);
      progress.device_read_mb_s = moved(first.engine->device_read_bytes, now.engine->device_read_bytes);
    }
    report(progress);
  }

  std::optional<DeviceCounters> device_counters() const {
    if (request_.devices.empty()) return {};
    auto counters = read_device_counters(request_.devices);
    return counters ? std::optional(*counters) : std::nullopt;
  }

  // What ends a round early, if anything does.
  Action look_for_trouble() {
    if (interrupted()) return Failure{FailureKind::interrupted, "interrupted", ""};
    for (u32 client = 0; client < request_.clients; ++client) {
      const ClientSlot& slot = memory_.slot(client);
      if (slot.state.load(std::memory_order_acquire) == state_failed)
        return Failure{FailureKind::mismatch, slot.failure,
                       "the target or the loadfile is wrong; nothing of this round counts"};
    }
    if (const auto death = group_.died()) return Failure{FailureKind::failed, *death, ""};
    return Done{};
  }

  Action wait_for(ClientState state, u64 limit_ns, const char* otherwise) {
    const u64 limit = monotonic_ns() + limit_ns;
    for (u32 client = 0; client < request_.clients;) {
      const u32 reached = memory_.slot(client).state.load(std::memory_order_acquire);
      if (reached >= state && reached != state_failed) {
        ++client;
        continue;
      }
      if (Action fine = look_for_trouble(); !fine) return fine;
      if (monotonic_ns() > limit)
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
      if (memory_.slot(client).state.load(std::memory_order_relaxed) < state_stopped) return false;
    return true;
  }

  u64 last_stop_ns() {
    u64 last = 0;
    for (u32 client = 0; client < request_.clients; ++client)
      last = std::max(last, memory_.slot(client).stopped_ns.load(std::memory_order_relaxed));
    return last;
  }

  // Until the time is over, all clients have stopped, or the load has settled.
  Action tick_until(RunProgress::Phase phase, u64 duration_ns, Settling* settling = nullptr) {
    settled_ = false;
    const bool warmup = phase == RunProgress::Phase::warmup;
    const Seen first = look();
    Seen last = first;
    const u64 end_ns = first.totals.at_ns + duration_ns;
    for (u64 tick_ns = first.totals.at_ns + second_ns;;) {
      const u64 now = monotonic_ns();
      const bool wait_for_all = warmup && request_.warm_until_all_move;
      const bool over = now >= end_ns && (!wait_for_all || last.totals.everybody_moves || totals().everybody_moves);
      if (now >= tick_ns || over) {
        const Seen here = look();
        if (here.totals.at_ns > last.totals.at_ns) keep_second(warmup, first, last, here);
        report_since(phase, duration_ns, first, here);
        const double seconds = to_seconds(here.totals.at_ns - last.totals.at_ns);
        last = here;
        while (tick_ns <= now) tick_ns += second_ns;
        if (settling != nullptr) settled_ = settling->add(seconds, series_.back().ops_s, series_.back().throughput_mb_s);
      }
      if (over || settled_) return Done{};
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
  }

  // When the clients are gone and their memory is quiet.
  void add_clients(RoundResult& result) {
    for (u32 table = 0; table < memory_.latency_tables(); ++table)
      for (size_t kind = 0; kind < latency_kinds_max; ++kind)
        if (const auto& latency = memory_.latency(table).by_kind[kind]; !latency.empty())
          result.latency[kind].merge(latency);
    for (u32 client = 0; client < request_.clients; ++client) {
      const ClientSlot& slot = memory_.slot(client);
      result.client_user_seconds += slot.user_seconds;
      result.client_system_seconds += slot.system_seconds;
      result.passes += slot.passes;
      result.complaints += slot.complaints;
      result.verify_mismatches += slot.mismatches;
      for (const auto& text : slot.complaint_texts)
        if (text[0] != 0 && result.complaint_texts.size() < complaint_texts_max) result.complaint_texts.push_back(text);
    }
  }

  const RoundRequest& request_;
  RoundMemory& memory_;
  ClientGroup& group_;
  u64 started_ns_ = 0;
  std::vector<SecondSample> series_;
  bool settled_ = false;  // in the phase that ended last
};

}  // namespace

double warmup_seconds(const RoundRequest& request) {
  return request.warmup_seconds.value_or(std::floor(request.seconds / 5));
}

Action check(const RoundRequest& request) {
  if (request.clients == 0 || request.clients > clients_max)
    return Failure{FailureKind::request, fmt::format("{} clients: 1 to {}", request.clients, clients_max), ""};
  if (!(request.seconds > 0)) return Failure{FailureKind::request, "the time to run must be more than 0 s", ""};
  return Done{};
}

void ClientSlot::stop() {
  stopped_ns = monotonic_ns();
  state = state_stopped;
}

void ClientSlot::fail(std::string_view why) {
  copy_text(failure, why);
  state = state_failed;
}

void ClientSlot::remark(std::string_view text) {
  const auto free = std::ranges::find_if(complaint_texts, [](const auto& kept) { return kept[0] == 0; });
  if (free != std::end(complaint_texts)) copy_text(*free, text);
}

void ClientSlot::note(const ClientOutcome& outcome) {
  passes = outcome.passes;
  complaints = outcome.complaints;
  mismatches = outcome.mismatches;
  for (const std::string& text : outcome.complaint_texts) remark(text);
  if (outcome.failed) return fail(outcome.message);
  stop();
}

Outcome<std::unique_ptr<RoundMemory>> RoundMemory::map(u32 clients, u32 latency_tables) {
  auto round = std::unique_ptr<RoundMemory>(new RoundMemory);
  round->clients_ = clients;
  round->latency_tables_ = latency_tables;
  round->bytes_ = sizeof(RoundControl) + sizeof(ClientSlot) * u64{clients} + sizeof(LatencyTable) * u64{latency_tables};
  constexpr int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
  void* memory = mmap(nullptr, round->bytes_, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory == MAP_FAILED) return system_failure("map memory for the clients' counters", errno);
  round->memory_ = memory;
  return round;
}

RoundMemory::~RoundMemory() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

ClientSlot& RoundMemory::slot(u32 client) {
  assert(client < clients_);
  return reinterpret_cast<ClientSlot*>(static_cast<std::byte*>(memory_) + sizeof(RoundControl))[client];
}

LatencyTable& RoundMemory::latency(u32 table) {
  assert(table < latency_tables_);
  const u64 before = sizeof(RoundControl) + sizeof(ClientSlot) * u64{clients_};
  return reinterpret_cast<LatencyTable*>(static_cast<std::byte*>(memory_) + before)[table];
}

// Not std::atomic::notify and wait: those work within one process only.
void RoundMemory::enter(Phase phase) {
  control().phase.store(phase, std::memory_order_release);
  syscall(SYS_futex, &control().phase, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void RoundMemory::wait_while(Phase phase) {
  while (control().phase.load(std::memory_order_acquire) == phase)
    syscall(SYS_futex, &control().phase, FUTEX_WAIT, phase, nullptr, nullptr, 0);
}

u64 monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * second_ns + static_cast<u64>(now.tv_nsec);
}

void CountingHost::enter(u32 phase) {
  if (own_thread_) {
    rusage usage = {};
    getrusage(RUSAGE_THREAD, &usage);
    if (phase == phase_measure) {
      user_seconds_ = to_seconds(usage.ru_utime);
      system_seconds_ = to_seconds(usage.ru_stime);
    }
    if (phase_ == phase_measure) {
      slot_.user_seconds = to_seconds(usage.ru_utime) - user_seconds_;
      slot_.system_seconds = to_seconds(usage.ru_stime) - system_seconds_;
    }
  }
  settle();
  phase_ = phase;
}

Outcome<RoundResult> run_phases(const RoundRequest& request, RoundMemory& memory, ClientGroup& group) {
  Round round(request, memory, group);
  return round.run();
}

}  // namespace cowbench::harness
