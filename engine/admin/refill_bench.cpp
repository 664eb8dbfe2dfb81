// How fast a device that was away is brought up to date, and how fast what is on one moves to another, when nobody asks anything of
// the filesystem, against plain copying from one device to the other in requests of the same size; and what clients notice of it.
//
//   build/bin/admin_bench --benchmark_filter='sequential_copy|refill|evacuate'
#include <benchmark/benchmark.h>

#include <atomic>
#include <optional>

#include "engine/admin/bench_clients_internal.h"
#include "engine/admin/device_session.h"
#include "engine/runtime/sync.h"

namespace cowfs {
namespace {

constexpr u64 copy_bytes = 1 * mib;
constexpr int copies_at_once = 4;

u64 device_bytes() { return file_bytes() + (is_tiny_bench() ? 128 * mib : gib); }

MountOptions mount_options(const BenchImage& first, const BenchImage& second) {
  MountOptions options;
  options.devices = {first.path(), second.path()};
  options.cache_bytes = 64 * mib;
  options.populate_cache = false;
  return options;
}

// Two copies, with a file.
std::unique_ptr<Filesystem> mounted(const BenchImage& first, const BenchImage& second) {
  FormatOptions format;
  format.devices = {first.path(), second.path()};
  format.replicas = 2;
  format.force = true;
  expect_ok(format_devices(format));
  auto filesystem = Filesystem::mount(mount_options(first, second));
  expect_ok(filesystem);
  (*filesystem)->run(0, [&] { return write_file(**filesystem); });
  return std::move(*filesystem);
}

Task<void> copy_some(device::Device& from, device::Device& to, std::atomic<u64>& next) {
  device::AlignedBuffer buffer(copy_bytes);
  for (u64 at = next.fetch_add(copy_bytes); at < device_bytes(); at = next.fetch_add(copy_bytes)) {
    expect_ok(co_await from.read(at, buffer.span()));
    expect_ok(co_await to.write(at, buffer.span()));
  }
}

Task<void> copy_all(device::Device& from, device::Device& to) {
  std::atomic<u64> next{0};
  runtime::Gate gate;
  for (int worker = 0; worker < copies_at_once; ++worker) gate.spawn(copy_some(from, to, next));
  co_await gate.drained();
  expect_ok(co_await to.flush());
}

// The image has all its space.
void fill(const BenchImage& image) {
  const auto session = admin::DeviceSession::open(image.path(), device::OpenMode::read_write);
  expect_ok(session);
  device::Device& device = *(*session)->devices().front();
  (*session)->run([&device] { return copy_all(device, device); });
}

void sequential_copy(benchmark::State& state) {
  const BenchImage first{device_bytes()}, second{device_bytes()};
  expect_ok(mounted(first, second)->unmount());
  const auto session = admin::DeviceSession::open({{first.path(), second.path()}}, device::OpenMode::read_write);
  expect_ok(session);
  const std::vector<device::Device*> devices = (*session)->devices();
  for (auto _ : state) (*session)->run([&devices] { return copy_all(*devices[0], *devices[1]); });
  state.SetBytesProcessed(static_cast<i64>(state.iterations() * device_bytes()));
}

Task<void> refill(Filesystem& filesystem, u64& refills, std::atomic<bool>* stop) {
  DeviceChange change{.kind = DeviceChange::Kind::offline, .member = 1};
  DeviceWork work;
  work.progress = [stop](u64, u64) { return stop == nullptr || !*stop; };
  expect_ok(co_await filesystem.change_device(change, work));
  change.kind = DeviceChange::Kind::online;
  const Status online = co_await filesystem.change_device(change, work);
  if (online || online.error().code != Code::pool_refill_stopped) expect_ok(online);
  ++refills;
}

void refill_when_idle(benchmark::State& state) {
  const BenchImage first{device_bytes()}, second{device_bytes()};
  const auto filesystem = mounted(first, second);
  u64 refills = 0;
  for (auto _ : state) filesystem->run(0, [&] { return refill(*filesystem, refills, nullptr); });
  state.SetBytesProcessed(static_cast<i64>(refills * device_bytes()));
  expect_ok(filesystem->unmount());
}

Task<void> change(Filesystem& filesystem, DeviceChange asked, std::string path) {
  DeviceWork work;
  work.path = std::move(path);
  work.force = true;
  expect_ok(co_await filesystem.change_device(std::move(asked), std::move(work)));
}

// Two copies, and a spare device.
struct Spared {
  Spared() {
    fill(spare);
    filesystem = mounted(first, second);
    filesystem->run(0, [this] { return change(*filesystem, {.kind = DeviceChange::Kind::spare}, spare.path()); });
  }
  ~Spared() { expect_ok(filesystem->unmount()); }
  const BenchImage first{device_bytes()}, second{device_bytes()}, spare{device_bytes()};
  std::unique_ptr<Filesystem> filesystem;
};

void evacuate_when_idle(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    std::optional<Spared> spared(std::in_place);
    state.ResumeTiming();
    const DeviceChange emptied{.kind = DeviceChange::Kind::evacuate, .member = 0};
    spared->filesystem->run(0, [&] { return change(*spared->filesystem, emptied, ""); });
    state.PauseTiming();
    spared.reset();
    state.ResumeTiming();
  }
  state.SetBytesProcessed(static_cast<i64>(state.iterations() * device_bytes()));
}

Task<void> refill_on(Filesystem& filesystem, u64& refills, std::atomic<bool>& stop, std::atomic<u64>& running) {
  while (!stop) co_await refill(filesystem, refills, &stop);
  running.fetch_sub(1);
  running.notify_all();
}

// Argument: with a refill (1) or without (0).
void clients_beside_a_refill(benchmark::State& state) {
  const BenchImage first{device_bytes()}, second{device_bytes()};
  const auto filesystem = mounted(first, second);
  std::vector<std::vector<u64>> latencies(clients);
  u64 refills = 0;
  for (auto _ : state) {
    std::atomic<bool> stop = state.range(0) == 0;
    std::atomic<u64> running{clients}, refilling{1};
    for (u64 client = 0; client < clients; ++client) {
      filesystem->start(static_cast<unsigned>(client % filesystem->cores()),
                        [&, client] { return run_client(*filesystem, client, latencies[client], running); });
    }
    filesystem->start(0, [&] { return refill_on(*filesystem, refills, stop, refilling); });
    wait_for(running);
    stop = true;
    wait_for(refilling);
  }
  report_latencies(state, latencies);
  expect_ok(filesystem->unmount());
}

BENCHMARK(sequential_copy)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);
BENCHMARK(refill_when_idle)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);
BENCHMARK(evacuate_when_idle)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);
BENCHMARK(clients_beside_a_refill)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

}  // namespace
}  // namespace cowfs
