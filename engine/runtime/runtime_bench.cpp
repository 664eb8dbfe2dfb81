// The costs that the engine's shape rests on: calling a task, yielding, locking, sending a message, waking a sleeper,
// one request through the ring.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "engine/runtime/cores.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::runtime {
namespace {

std::unique_ptr<Cores> start(benchmark::State& state, u16 count, ReactorSettings reactor = {}) {
  CoresSettings settings;
  settings.cores = count;
  settings.reactor = reactor;
  auto cores = Cores::start(settings);
  if (cores.ok()) return std::move(*cores);
  state.SkipWithError(to_text(cores.error()).c_str());
  return nullptr;
}

Task<u64> one(u64 value) { co_return value + 1; }

Task<u64> call_many(u64 count) {
  u64 value = 0;
  for (u64 i = 0; i < count; ++i) {
    auto task = one(value);
    value = co_await task;
  }
  co_return value;
}

// Steps between two visits from outside, whose cost must not show: 100 000 of a few nanoseconds, 1000 of microseconds.
constexpr u64 many = 100'000;
constexpr u64 some = 1'000;

// Runs `work(steps)` on core 0 as often as the benchmark asks; one item is one step.
template <typename Work>
void measure(benchmark::State& state, Cores& cores, u64 steps, Work work) {
  for (auto _ : state) cores.run(0, [&] { return work(steps); });
  state.SetItemsProcessed(static_cast<i64>(state.iterations() * steps));
}

void task_call(benchmark::State& state) {
  auto cores = start(state, 1);
  if (cores) measure(state, *cores, many, [](u64 count) { return call_many(count); });
}
BENCHMARK(task_call)->UseRealTime();

Task<void> yield_many(u64 count) {
  for (u64 i = 0; i < count; ++i) co_await yield();
}

void yields(benchmark::State& state) {
  auto cores = start(state, 1);
  if (cores) measure(state, *cores, many, [](u64 count) { return yield_many(count); });
}
BENCHMARK(yields)->UseRealTime();

Task<void> lock_many(u64 count) {
  Mutex mutex;
  for (u64 i = 0; i < count; ++i) {
    co_await mutex.acquire();
    mutex.release();
  }
}

void mutex_uncontended(benchmark::State& state) {
  auto cores = start(state, 1);
  if (cores) measure(state, *cores, many, [](u64 count) { return lock_many(count); });
}
BENCHMARK(mutex_uncontended)->UseRealTime();

Task<void> ping(CoreIndex to, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    auto call = on(to, [] { return this_reactor().core(); });
    benchmark::DoNotOptimize(co_await call);
  }
}

Task<void> ping_side_by_side(u64 streams, u64 count) {
  Gate gate;
  for (u64 i = 0; i < streams; ++i) gate.spawn(ping(1, count / streams));
  co_await gate.drained();
}

// Argument: how many round trips are under way at once.
void message_round_trip(benchmark::State& state) {
  auto cores = start(state, 2, {.spin_ns = 1'000'000});
  const u64 streams = static_cast<u64>(state.range(0));
  if (cores) measure(state, *cores, some, [streams](u64 count) { return ping_side_by_side(streams, count); });
}
BENCHMARK(message_round_trip)->Arg(1)->Arg(8)->Arg(32)->UseRealTime();

// No spinning: each message wakes a sleeper.
void message_round_trip_asleep(benchmark::State& state) {
  auto cores = start(state, 2, {.spin_ns = 0});
  if (cores) measure(state, *cores, some, [](u64 count) { return ping_side_by_side(1, count); });
}
BENCHMARK(message_round_trip_asleep)->UseRealTime();

void foreign_call(benchmark::State& state) {
  auto cores = start(state, 1, {.spin_ns = static_cast<u64>(state.range(0))});
  if (!cores) return;
  for (auto _ : state) benchmark::DoNotOptimize(cores->run(0, [] { return one(1); }));
}
BENCHMARK(foreign_call)->Arg(0)->Arg(20'000)->UseRealTime();

struct IoAwaiter : IoOperation {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter = handle;
    completed = [](IoOperation& operation) { this_reactor().schedule(operation.waiter); };
    this_reactor().submit(*this);
  }
  i64 await_resume() const noexcept { return result; }
};

constexpr u64 file_blocks = 256;

Task<void> read_blocks(int file, u64 count) {
  std::vector<std::byte> buffer(block_bytes);
  for (u64 i = 0; i < count; ++i) {
    IoAwaiter read;
    read.file = file;
    read.data = buffer.data();
    read.offset = i % file_blocks * block_bytes;
    read.length = block_bytes;
    const i64 got = co_await read;
    assert(got == i64{block_bytes});
  }
}

Task<void> read_side_by_side(int file, u64 streams, u64 count) {
  Gate gate;
  for (u64 i = 0; i < streams; ++i) gate.spawn(read_blocks(file, count / streams));
  co_await gate.drained();
}

// From the page cache: what the ring and the reactor cost, not what a device costs. Argument: queue depth.
void ring_read_4k(benchmark::State& state) {
  char path[] = "/tmp/runtime_bench_XXXXXX";
  const int file = ::mkstemp(path);
  ::unlink(path);
  const std::vector<std::byte> data(file_blocks * block_bytes, std::byte{1});
  if (::write(file, data.data(), data.size()) != static_cast<ssize_t>(data.size()))
    state.SkipWithError("no space in /tmp");
  const u64 depth = static_cast<u64>(state.range(0));
  if (auto cores = start(state, 1)) {
    measure(state, *cores, some, [=](u64 count) { return read_side_by_side(file, depth, count); });
  }
  ::close(file);
}
BENCHMARK(ring_read_4k)->Arg(1)->Arg(32)->UseRealTime();

void simulated_step(benchmark::State& state) {
  SimCores cores({.cores = 4, .seed = 1});
  for (auto _ : state) cores.run(0, ping_side_by_side(8, some));
  state.SetItemsProcessed(static_cast<i64>(cores.steps()));
}
BENCHMARK(simulated_step);

}  // namespace
}  // namespace cowfs::runtime
