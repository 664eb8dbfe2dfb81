// What a long history costs: 500 commits, 200 series, 10 rounds each are a million samples.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "results/store/store.h"
#include "results/store/store_fixture.h"

namespace cowbench::store {
namespace {

constexpr fixture::Shape shape{20, 10, 10};

class History {
 public:
  History() : commits_(std::getenv("COWBENCH_TINY") != nullptr ? 5 : 500) {
    std::vector<StoredRun> runs;
    for (u64 commit = 0; commit < commits_; ++commit) runs.push_back(fixture::make_run(commit, shape));
    std::string reason;
    auto store = Store::open(path_, Store::Access::write, reason);
    if (!store || !store->add(runs, reason)) std::abort();
  }
  ~History() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }
  u64 commits() const { return commits_; }

 private:
  std::string path_ = "/tmp/cowbench-store-bench-" + std::to_string(getpid()) + ".db";
  u64 commits_;
};

void read_series(benchmark::State& state) {
  static const History history;
  std::string reason;
  const auto store = Store::open(history.path(), Store::Access::read, reason);
  const SeriesKey key{"target7", "crc32c, fsync=flush", "disk", "dbench client.txt", 4, "metric3"};
  u64 points = 0;
  for (auto _ : state) points = store->read(key, reason)->size();
  if (points != history.commits()) state.SkipWithError("points are missing");
  const double samples = static_cast<double>(history.commits() * shape.targets * shape.metrics * shape.rounds);
  state.counters["commits"] = static_cast<double>(points);
  state.counters["samples"] = samples;
  state.counters["store_mb"] = static_cast<double>(std::filesystem::file_size(history.path())) / 1e6;
}
BENCHMARK(read_series)->Unit(benchmark::kMillisecond);

void add_run(benchmark::State& state) {
  const std::string path = "/tmp/cowbench-store-bench-add-" + std::to_string(getpid()) + ".db";
  std::string reason;
  {
    auto store = Store::open(path, Store::Access::write, reason);
    u64 number = 0;
    for (auto _ : state) {
      const StoredRun run = fixture::make_run(number++, shape);
      if (!store->add({&run, 1}, reason)) state.SkipWithError(reason.c_str());
    }
  }
  std::filesystem::remove(path);
}
BENCHMARK(add_run)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cowbench::store
