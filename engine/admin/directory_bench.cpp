// One directory of many names: what a name costs to make, to find, to list and to remove, by how many there are. Ends with
// a check of the image.
#include <benchmark/benchmark.h>
#include <fcntl.h>

#include <chrono>

#include "engine/admin/bench_image_internal.h"
#include "engine/admin/tools.h"
#include "engine/base/random.h"

namespace cowfs {
namespace {

constexpr u64 looked_up_max = 100'000;

std::string path_of(u64 number) { return fmt::format("/directory/entry-{}", number); }

Task<void> make_names(Filesystem& filesystem, u64 names) {
  expect_ok(co_await filesystem.mkdir("/directory", 0755));
  for (u64 number = 0; number < names; ++number) {
    const std::string path = path_of(number);
    const Result<FileHandle> file = co_await filesystem.open(path, O_CREAT | O_EXCL | O_RDWR, 0644);
    expect_ok(file);
    expect_ok(co_await filesystem.close(*file));
  }
}

Task<void> look_names_up(Filesystem& filesystem, u64 names, u64 count) {
  Random random(1);
  for (u64 i = 0; i < count; ++i) {
    const std::string path = path_of(random.below(names));
    const Result<Attributes> found = co_await filesystem.stat(path, false);
    expect_ok(found);
  }
}

Task<void> remove_names(Filesystem& filesystem, u64 names) {
  for (u64 number = 0; number < names; ++number) {
    const std::string path = path_of(number);
    expect_ok(co_await filesystem.unlink(path));
  }
  expect_ok(co_await filesystem.rmdir("/directory"));
}

double ns_of(Filesystem& filesystem, u64 operations, std::function<Task<void>()> load) {
  const auto began = std::chrono::steady_clock::now();
  filesystem.run(0, std::move(load));
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - began;
  return took.count() / static_cast<double>(operations);
}

// Argument: names.
void one_directory(benchmark::State& state) {
  const u64 names = static_cast<u64>(state.range(0));
  const u64 looked_up = std::min(names, looked_up_max);
  for (auto _ : state) {
    const BenchImage image{4 * gib};
    FormatOptions format;
    format.devices = {image.path()};
    format.force = true;
    expect_ok(format_devices(format));
    MountOptions options;
    options.devices = {image.path()};
    options.cache_bytes = 64 * mib;
    auto mounted = Filesystem::mount(options);
    expect_ok(mounted);
    Filesystem& target = **mounted;
    state.counters["create_ns"] = ns_of(target, names, [&] { return make_names(target, names); });
    state.counters["lookup_ns"] = ns_of(target, looked_up, [&] { return look_names_up(target, names, looked_up); });
    state.counters["list_ns"] = ns_of(target, names, [&] { return list_directory(target, "/directory"); });
    state.counters["unlink_ns"] = ns_of(target, names, [&] { return remove_names(target, names); });
    expect_ok(target.unmount());
    mounted->reset();
    const Result<admin::CheckReport> report = admin::check(image.path(), {});
    expect_ok(report);
    if (!report->clean()) state.SkipWithError("the check found errors");
  }
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->Arg(1000);
  if (is_tiny_bench()) return;
  bench->Arg(10'000)->Arg(100'000)->Arg(1'000'000);
}
BENCHMARK(one_directory)->Apply(sizes)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

}  // namespace
}  // namespace cowfs
