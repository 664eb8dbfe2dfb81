// GB/s by kind and kernel: of checksums alone, of checksums with a copy in one pass, and of a copy with a checksum behind it.
// Hot: the same memory again and again. Cold: the next piece of memory that is larger than the caches.
#include "engine/codec/checksum.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "engine/codec/crc32c.h"

namespace cowfs::codec {
namespace {

const u64 cold_bytes = std::getenv("COWBENCH_TINY") != nullptr ? mib : 256 * mib;

// Pieces of `piece_bytes`, from a page on.
class Pieces {
 public:
  Pieces(std::size_t piece_bytes, bool cold)
      : piece_bytes_(piece_bytes),
        memory_((cold ? cold_bytes : piece_bytes) + block_bytes, std::byte{0x37}),
        first_(reinterpret_cast<std::byte*>(round_up(reinterpret_cast<u64>(memory_.data()), block_bytes))) {}
  std::byte* next() {
    at_ = at_ + 2 * piece_bytes_ + block_bytes <= memory_.size() ? at_ + piece_bytes_ : 0;
    return first_ + at_;
  }

 private:
  std::size_t piece_bytes_, at_ = 0;
  std::vector<std::byte> memory_;
  std::byte* first_;
};

void checksum_of(benchmark::State& state, const ChecksumKernel& kernel, std::size_t bytes, bool cold) {
  Pieces from(bytes, cold);
  for (auto _ : state) benchmark::DoNotOptimize(kernel.checksum({from.next(), bytes}));
  state.SetBytesProcessed(state.iterations() * static_cast<i64>(bytes));
}

void copy_of(benchmark::State& state, const ChecksumKernel& kernel, std::size_t bytes, bool cold) {
  Pieces from(bytes, cold), to(bytes, cold);
  std::vector<std::byte> checksums(bytes / block_bytes * checksum_bytes_max);
  for (auto _ : state) {
    kernel.copy_blocks(to.next(), from.next(), bytes / block_bytes, checksums.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<i64>(bytes));
}

void copy_then(benchmark::State& state, const ChecksumKernel& kernel, std::size_t bytes, bool cold) {
  Pieces from(bytes, cold), to(bytes, cold);
  for (auto _ : state) {
    std::byte* const target = to.next();
    std::memcpy(target, from.next(), bytes);
    benchmark::DoNotOptimize(kernel.checksum({target, bytes}));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<i64>(bytes));
}

// What metadata are checked with, and scripts/planted-slowdown slows down.
void crc32c_chosen(benchmark::State& state) {
  const std::vector<std::byte> data(static_cast<std::size_t>(state.range(0)), std::byte{0x37});
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(data));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c_chosen)->Arg(64)->Arg(4096)->Arg(16384);

using Run = void (*)(benchmark::State&, const ChecksumKernel&, std::size_t, bool);

void add(const char* what, Run run, ChecksumKind kind, const ChecksumKernel& kernel, std::size_t bytes, bool cold) {
  const std::string name = std::string(what) + "/" + std::string(cowfs::name(kind)) + "/" + kernel.name + "/" +
                           std::to_string(bytes) + (cold ? "/cold" : "/hot");
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { run(state, kernel, bytes, cold); });
}

const bool added = [] {
  for (const ChecksumKind kind : checksum_kinds) {
    for (const ChecksumKernel& kernel : checksum_kernels(kind)) {
      if (!native_cpu_features().has(kernel.needs)) continue;
      const bool is_copy = kind == ChecksumKind::none;
      for (const std::size_t bytes : {64, 512, 4096, 65536}) {
        for (const bool cold : {false, true}) {
          if (cold && bytes < block_bytes) continue;
          if (!is_copy) add("checksum", checksum_of, kind, kernel, bytes, cold);
          if (bytes < block_bytes) continue;
          add("copy_blocks", copy_of, kind, kernel, bytes, cold);
          if (!is_copy) add("copy_then_checksum", copy_then, kind, kernel, bytes, cold);
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace cowfs::codec
