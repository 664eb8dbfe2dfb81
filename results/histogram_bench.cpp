#include <benchmark/benchmark.h>

#include <memory>

#include "engine/base/random.h"
#include "results/histogram.h"

namespace cowbench::results {
namespace {

void histogram_record(benchmark::State& state) {
  auto counts = std::make_unique<HistogramCounts>();
  cowfs::Random random(1);
  std::array<u64, 4096> latencies;
  for (u64& latency : latencies) latency = 500 + random.next() % (u64{1} << (10 + random.below(12)));
  std::size_t next = 0;
  for (auto _ : state) counts->record(latencies[next++ % latencies.size()]);
  benchmark::DoNotOptimize(counts->count);
}
BENCHMARK(histogram_record);

void histogram_percentile(benchmark::State& state) {
  auto counts = std::make_unique<HistogramCounts>();
  cowfs::Random random(1);
  for (int i = 0; i < 100'000; ++i) counts->record(random.next() >> (24 + random.below(40)));
  for (auto _ : state) benchmark::DoNotOptimize(counts->percentile_ns(99.9));
}
BENCHMARK(histogram_percentile);

void histogram_merge(benchmark::State& state) {
  auto into = std::make_unique<HistogramCounts>();
  auto from = std::make_unique<HistogramCounts>();
  from->record(1);
  for (auto _ : state) into->merge(*from);
  benchmark::DoNotOptimize(into->count);
}
BENCHMARK(histogram_merge);

}  // namespace
}  // namespace cowbench::results
