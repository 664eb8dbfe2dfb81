// GB/s of data, by kernel: `lost` 0 encodes, otherwise that many data shards are recovered. Hot: one stripe again and again.
// Cold: the next of stripes that together are larger than the caches.
#include "engine/codec/erasure_code.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "engine/base/random.h"

namespace cowfs::codec {
namespace {

struct Shape {
  u32 data, parity, lost;
};

class Stripes {
 public:
  Stripes(u32 shards, std::size_t shard_bytes, u64 bytes_min)
      : shards_(shards),
        count_(std::max<u64>(1, bytes_min / (shards * shard_bytes))),
        memory_(count_ * shards * shard_bytes + block_bytes) {
    Random random(1);
    for (std::size_t i = 0; i + 8 <= memory_.size(); i += 8) {
      const u64 word = random.next();
      std::memcpy(memory_.data() + i, &word, sizeof word);
    }
    auto* at = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<u64>(memory_.data()), block_bytes));
    for (u64 i = 0; i < count_ * shards; ++i) pointers_.push_back(at + i * shard_bytes);
  }
  std::byte** next() {
    at_ = at_ + 1 < count_ ? at_ + 1 : 0;
    return pointers_.data() + at_ * shards_;
  }

 private:
  u32 shards_;
  u64 count_, at_ = 0;
  std::vector<std::byte> memory_;
  std::vector<std::byte*> pointers_;
};

// The combination that encoding or recovering is, made visible for one kernel to run.
void run(benchmark::State& state, const kernel::Combine& kernel, const Shape& shape, std::size_t shard_bytes,
         u64 set_bytes) {
  Stripes stripes(shape.data + shape.parity, shard_bytes, set_bytes);
  const ErasureCode code(shape.data, shape.parity);
  const Combination combination =
      shape.lost == 0 ? code.encoding() : code.recovery((1u << shape.lost) - 1).combination();
  if (!kernel.suits(combination, stripes.next(), stripes.next() + shape.data, shard_bytes))
    return state.SkipWithError("not for this kernel");
  for (auto _ : state) {
    std::byte** shards = stripes.next();
    if (shape.lost == 0)
      kernel.run(combination, shards, shards + shape.data, shard_bytes);
    else
      kernel.run(combination, shards + shape.lost, shards, shard_bytes);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<i64>(shape.data * shard_bytes));
}

void add(const kernel::Combine& kernel, const Shape& shape, std::size_t shard_bytes, u64 set_bytes) {
  const std::string name = std::string("erasure_code/") + kernel.name + "/" + std::to_string(shape.data) + "+" +
                           std::to_string(shape.parity) +
                           (shape.lost == 0 ? "/encode" : "/recover" + std::to_string(shape.lost)) + "/" +
                           std::to_string(shard_bytes / kib) + "KiB" + (set_bytes == 0 ? "/hot" : "/cold");
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) { run(state, kernel, shape, shard_bytes, set_bytes); });
}

const bool added = [] {
  const u64 cold_bytes = std::getenv("COWBENCH_TINY") != nullptr ? mib : 256 * mib;
  for (const kernel::Combine& kernel : kernel::combine_kernels()) {
    if (!native_cpu_features().has(kernel.needs)) continue;
    for (const Shape& shape : {Shape{4, 1, 0}, Shape{4, 1, 1}, Shape{4, 2, 0}, Shape{4, 2, 2}, Shape{8, 2, 0},
                               Shape{8, 2, 2}, Shape{10, 4, 0}, Shape{10, 4, 2}, Shape{10, 4, 4}}) {
      add(kernel, shape, 64 * kib, 0);
      add(kernel, shape, 4 * kib, 0);
      add(kernel, shape, 64 * kib, cold_bytes);
    }
  }
  return true;
}();

}  // namespace
}  // namespace cowfs::codec
