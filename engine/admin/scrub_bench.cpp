// What a scrub reads a second when nobody else asks anything of the device, against the device itself read from front to back;
// and what clients notice of a scrub: latencies of small direct reads and writes, with one and without.
//
//   build/bin/admin_bench --benchmark_filter='sequential|scrub'
#include <benchmark/benchmark.h>

#include <atomic>

#include "engine/admin/bench_clients_internal.h"
#include "engine/admin/bench_image_internal.h"
#include "engine/admin/device_session.h"
#include "engine/device/aligned_buffer.h"
#include "engine/runtime/sync.h"

namespace cowfs {
namespace {

constexpr u64 read_bytes = 1 * mib;
constexpr int reads_at_once = 4;

MountOptions mount_options(const BenchImage& image) {
  MountOptions options;
  options.devices = {image.path()};
  options.cache_bytes = 64 * mib;
  options.populate_cache = false;
  return options;
}

void make(const BenchImage& image) {
  FormatOptions format;
  format.devices = {image.path()};
  format.force = true;
  expect_ok(format_devices(format));
  auto filesystem = Filesystem::mount(mount_options(image));
  expect_ok(filesystem);
  (*filesystem)->run(0, [&] { return write_file(**filesystem); });
  expect_ok((*filesystem)->unmount());
}

Task<void> read_some(device::Device& device, std::atomic<u64>& next, u64 end) {
  device::AlignedBuffer buffer(read_bytes);
  for (u64 at = next.fetch_add(read_bytes); at < end; at = next.fetch_add(read_bytes))
    expect_ok(co_await device.read(at, buffer.span()));
}

Task<void> read_all(device::Device& device, u64 end) {
  std::atomic<u64> next{0};
  runtime::Gate gate;
  for (int reader = 0; reader < reads_at_once; ++reader) gate.spawn(read_some(device, next, end));
  co_await gate.drained();
}

void sequential_read(benchmark::State& state) {
  const BenchImage image{file_bytes() + gib};
  make(image);
  const auto session = admin::DeviceSession::open(image.path(), device::OpenMode::read_only);
  expect_ok(session);
  device::Device& device = *(*session)->devices().front();
  for (auto _ : state) (*session)->run([&device] { return read_all(device, file_bytes()); });
  state.SetBytesProcessed(static_cast<i64>(state.iterations() * file_bytes()));
}

Task<void> scrub_all(Filesystem& filesystem, ScrubReport& report, std::atomic<bool>* stop) {
  ScrubOptions options;
  options.from_start = true;
  options.progress = [stop](const ScrubProgress&) { return stop == nullptr || !*stop; };
  const Result<ScrubReport> scrubbed = co_await filesystem.scrub(options);
  expect_ok(scrubbed);
  report.bytes += scrubbed->bytes;
}

void scrub_when_idle(benchmark::State& state) {
  const BenchImage image{file_bytes() + gib};
  make(image);
  auto filesystem = Filesystem::mount(mount_options(image));
  expect_ok(filesystem);
  ScrubReport report;
  for (auto _ : state) (*filesystem)->run(0, [&] { return scrub_all(**filesystem, report, nullptr); });
  state.SetBytesProcessed(static_cast<i64>(report.bytes));
}

Task<void> scrub_on(Filesystem& filesystem, ScrubReport& report, std::atomic<bool>& stop, std::atomic<u64>& running) {
  while (!stop) co_await scrub_all(filesystem, report, &stop);
  running.fetch_sub(1);
  running.notify_all();
}

// Argument: with a scrub (1) or without (0).
void clients_beside_a_scrub(benchmark::State& state) {
  const BenchImage image{file_bytes() + gib};
  make(image);
  auto mounted = Filesystem::mount(mount_options(image));
  expect_ok(mounted);
  Filesystem& filesystem = **mounted;
  std::vector<std::vector<u64>> latencies(clients);
  ScrubReport report;
  for (auto _ : state) {
    std::atomic<bool> stop = state.range(0) == 0;
    std::atomic<u64> running{clients}, scrubs{1};
    for (u64 client = 0; client < clients; ++client) {
      filesystem.start(static_cast<unsigned>(client % filesystem.cores()),
                       [&, client] { return run_client(filesystem, client, latencies[client], running); });
    }
    filesystem.start(0, [&] { return scrub_on(filesystem, report, stop, scrubs); });
    wait_for(running);
    stop = true;
    wait_for(scrubs);
  }
  report_latencies(state, latencies);
  state.counters["scrubbed_MiB"] = static_cast<double>(report.bytes) / mib;
}

BENCHMARK(sequential_read)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);
BENCHMARK(scrub_when_idle)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);
BENCHMARK(clients_beside_a_scrub)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

}  // namespace
}  // namespace cowfs
