#include "engine/codec/crc32c.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace cowfs::codec {
namespace {

void crc32c_of(benchmark::State& state, u32 (*function)(ByteSpan, u32)) {
  const std::vector<std::byte> data(static_cast<std::size_t>(state.range(0)), std::byte{0x37});
  for (auto _ : state) benchmark::DoNotOptimize(function(data, 0));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
void crc32c_chosen(benchmark::State& state) { crc32c_of(state, crc32c); }
void crc32c_isal(benchmark::State& state) { crc32c_of(state, kernel::crc32c_isal); }
void crc32c_portable(benchmark::State& state) { crc32c_of(state, kernel::crc32c_portable); }
BENCHMARK(crc32c_chosen)->Arg(64)->Arg(256)->Arg(512)->Arg(4096)->Arg(16384)->Arg(262144);
BENCHMARK(crc32c_isal)->Arg(64)->Arg(256)->Arg(512)->Arg(4096)->Arg(16384)->Arg(262144);
BENCHMARK(crc32c_portable)->Arg(4096);

// Walks a buffer larger than the caches' first levels, `range` blocks at a time.
void copy_of(benchmark::State& state, void (*function)(std::byte*, const std::byte*, std::size_t, le32*)) {
  constexpr std::size_t buffer_blocks = 1024;
  const std::vector<std::byte> from(buffer_blocks * block_bytes, std::byte{0x37});
  std::vector<std::byte> to(buffer_blocks * block_bytes);
  std::vector<le32> checksums(buffer_blocks);
  const auto blocks = static_cast<std::size_t>(state.range(0));
  std::size_t at = 0;
  for (auto _ : state) {
    function(to.data() + at * block_bytes, from.data() + at * block_bytes, blocks, checksums.data());
    at = at + 2 * blocks <= buffer_blocks ? at + blocks : 0;
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0) * static_cast<i64>(block_bytes));
}
void copy_blocks_chosen(benchmark::State& state) { copy_of(state, copy_blocks_crc32c); }
void copy_blocks_isal(benchmark::State& state) { copy_of(state, kernel::copy_blocks_isal); }
void copy_blocks_sse42(benchmark::State& state) {
  if (!kernel::has_sse42()) return state.SkipWithError("no SSE4.2");
  copy_of(state, kernel::copy_blocks_sse42);
}
BENCHMARK(copy_blocks_chosen)->Arg(1)->Arg(16)->Arg(64);
BENCHMARK(copy_blocks_isal)->Arg(1)->Arg(16)->Arg(64);
BENCHMARK(copy_blocks_sse42)->Arg(1)->Arg(16)->Arg(64);

}  // namespace
}  // namespace cowfs::codec
