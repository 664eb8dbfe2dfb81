// What a request costs through each kind of device, and what a crash image costs.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "engine/device/aligned_buffer.h"
#include "engine/device/file_device.h"
#include "engine/device/memory_device.h"
#include "engine/device/sim_device.h"
#include "engine/runtime/cores.h"
#include "engine/runtime/sim_reactor.h"
#include "engine/runtime/sync.h"

namespace cowfs::device {
namespace {

using runtime::Cores;
using runtime::Gate;
using runtime::SimCores;
using runtime::Task;

constexpr u64 device_blocks = 4096;
constexpr u64 batch = 512;

Task<void> write_blocks(Device& device, u64 first, u64 step, u64 count) {
  AlignedBuffer buffer{block_bytes};
  for (u64 i = 0; i < count; ++i) {
    const u64 block = (first + i * step) % device_blocks;
    const Status written = co_await device.write(block * block_bytes, buffer.span());
    assert(written.ok());
  }
}

Task<void> write_side_by_side(Device& device, u64 streams) {
  Gate gate;
  for (u64 i = 0; i < streams; ++i) gate.spawn(write_blocks(device, i, streams, batch / streams));
  co_await gate.drained();
}

void measure(benchmark::State& state, Device& device) {
  runtime::CoresSettings settings;
  settings.cores = 1;
  auto cores = Cores::start(settings);
  if (!cores) return state.SkipWithError(to_text(cores.error()).c_str());
  const u64 depth = static_cast<u64>(state.range(0));
  for (auto _ : state) (*cores)->run(0, [&] { return write_side_by_side(device, depth); });
  state.SetItemsProcessed(static_cast<i64>(state.iterations() * batch));
}

// Past the page cache of the filesystem in /tmp; argument: queue depth.
void file_write_4k(benchmark::State& state) {
  std::string path = "/tmp/device_bench_XXXXXX";
  const int file = ::mkstemp(path.data());
  const std::string data(device_blocks * block_bytes, 'x');
  const bool filled = ::write(file, data.data(), data.size()) == static_cast<ssize_t>(data.size());
  ::close(file);
  auto device = open_device(path, OpenMode::read_write);
  ::unlink(path.c_str());
  if (!filled || !device) return state.SkipWithError("no usable file in /tmp");
  measure(state, **device);
}
BENCHMARK(file_write_4k)->Arg(1)->Arg(64)->UseRealTime();

void memory_write_4k(benchmark::State& state) {
  auto device = make_memory_device(Bytes{device_blocks * block_bytes});
  if (!device) return state.SkipWithError("no memory");
  measure(state, **device);
}
BENCHMARK(memory_write_4k)->Arg(1)->Arg(64)->UseRealTime();

Task<void> flush(Device& device) {
  const Status flushed = co_await device.flush();
  assert(flushed.ok());
}

void sim_write_4k(benchmark::State& state) {
  SimCores cores({.cores = 1});
  SimDevice device{Bytes{device_blocks * block_bytes}, {}};
  for (auto _ : state) {
    cores.run(0, write_side_by_side(device, 64));
    cores.run(0, flush(device));
  }
  state.SetItemsProcessed(static_cast<i64>(state.iterations() * batch));
}
BENCHMARK(sim_write_4k);

// Of a 16 MiB device with 64 writes at stake.
void crash_image(benchmark::State& state) {
  SimCores cores({.cores = 1});
  SimDevice device{Bytes{device_blocks * block_bytes}, {}};
  cores.run(0, write_side_by_side(device, 64));
  cores.run(0, flush(device));
  cores.run(0, write_blocks(device, 0, 7, 64));
  Random random{1};
  for (auto _ : state) benchmark::DoNotOptimize(device.crash_image(random));
}
BENCHMARK(crash_image);

}  // namespace
}  // namespace cowfs::device
