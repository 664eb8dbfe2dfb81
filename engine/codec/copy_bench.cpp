#include "engine/codec/copy.h"

#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

namespace cowfs::codec {
namespace {

constexpr std::size_t copy_bytes = 60 * kib;  // of a dbench write

// Both begin at a page, as the page cache and clients' buffers do: memcpy depends on how they lie to each other.
std::byte* first_page(std::vector<std::byte>& memory) {
  return reinterpret_cast<std::byte*>(round_up(reinterpret_cast<u64>(memory.data()), block_bytes));
}

// The source is one buffer, the target the next place in `range` MiB.
template <typename Copy>
void copies_into(benchmark::State& state, Copy copy) {
  const std::size_t target_bytes = static_cast<std::size_t>(state.range(0)) * mib;
  std::vector<std::byte> source(copy_bytes + block_bytes, std::byte{0x37}), target(target_bytes + block_bytes);
  const std::byte* from = first_page(source);
  std::byte* to = first_page(target);
  std::size_t at = 0;
  for (auto _ : state) {
    copy(to + at, from, copy_bytes);
    at = at + 2 * copy_bytes <= target_bytes ? at + copy_bytes : 0;
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<i64>(copy_bytes));
}
void copy_memcpy(benchmark::State& state) { copies_into(state, std::memcpy); }
void copy_past_the_caches(benchmark::State& state) { copies_into(state, copy_past_caches); }
BENCHMARK(copy_memcpy)->Arg(1)->Arg(16)->Arg(512);
BENCHMARK(copy_past_the_caches)->Arg(1)->Arg(16)->Arg(512);

}  // namespace
}  // namespace cowfs::codec
