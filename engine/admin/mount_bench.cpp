// How long a mount takes after a kill: an image file on a disk, a process that fills the journal with operations of small
// files on every core and kills itself, and then mounts of what it left.
//
//   build/bin/admin_bench --benchmark_filter=mount_after_kill
#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "engine/admin/bench_image_internal.h"
#include "engine/admin/tools.h"

namespace cowfs {
namespace {

constexpr u64 journal_bytes_per_file = 850;  // about: create, write 300 bytes, rename each fourth, unlink each eighth
constexpr u64 files_a_directory = 1000;
constexpr u64 clients_per_core = 4;

MountOptions mount_options(const BenchImage& image) {
  MountOptions options;
  options.devices = {image.path()};
  if (is_tiny_bench()) options.cache_bytes = 64 * mib;
  return options;
}

Task<void> make_files(Filesystem& filesystem, std::string directory, u64 files) {
  const std::string payload(300, 'p');
  for (u64 number = 0; number < files; ++number) {
    const std::string parent = fmt::format("{}{}", directory, number / files_a_directory);
    if (number % files_a_directory == 0) expect_ok(co_await filesystem.mkdir(parent, 0755));
    const std::string path = fmt::format("{}/file{}", parent, number);
    const Result<FileHandle> file = co_await filesystem.open(path, O_CREAT | O_RDWR, 0644);
    expect_ok(file);
    const ByteSpan bytes{reinterpret_cast<const std::byte*>(payload.data()), payload.size()};
    const Result<u64> written = co_await filesystem.write(*file, 0, bytes);
    expect_ok(written);
    expect_ok(co_await filesystem.close(*file));
    const std::string other = path + "renamed";
    if (number % 4 == 0) expect_ok(co_await filesystem.rename(path, other, 0));
    if (number % 8 == 0) expect_ok(co_await filesystem.unlink(other));
  }
}

Task<void> run_client(Filesystem& filesystem, std::string directory, u64 files, std::atomic<u64>& running) {
  co_await make_files(filesystem, std::move(directory), files);
  running.fetch_sub(1);
  running.notify_all();
}

Task<void> sync(Filesystem& filesystem) { expect_ok(co_await filesystem.sync()); }

// Does not return.
void fill_and_die(const BenchImage& image, u64 journal_bytes) {
  auto mounted = Filesystem::mount(mount_options(image));
  expect_ok(mounted);
  Filesystem& filesystem = **mounted;
  const u64 clients = filesystem.cores() * clients_per_core;
  std::atomic<u64> running{clients};
  for (u64 client = 0; client < clients; ++client) {
    const auto load = [&filesystem, &running, client, files = journal_bytes / journal_bytes_per_file / clients] {
      return run_client(filesystem, fmt::format("/client{}_", client), files, running);
    };
    filesystem.start(static_cast<unsigned>(client % filesystem.cores()), load);
  }
  for (u64 left = running.load(); left > 0; left = running.load()) running.wait(left);
  filesystem.run(0, [&filesystem] { return sync(filesystem); });
  kill(getpid(), SIGKILL);
}

// Argument: MiB of history that the kill leaves.
void mount_after_kill(benchmark::State& state) {
  const u64 wanted_bytes = static_cast<u64>(state.range(0)) * mib;
  const BenchImage image{std::max(8 * wanted_bytes, 512 * mib)};
  FormatOptions format;
  format.devices = {image.path()};
  format.force = true;
  format.journal_bytes = 3 * wanted_bytes;  // or checkpoints would reclaim it
  expect_ok(format_devices(format));
  const pid_t child = fork();
  if (child == 0) fill_and_die(image, wanted_bytes);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) return state.SkipWithError("the load failed");

  const Result<admin::JournalShown> journal = admin::list_journal(image.path());
  expect_ok(journal);
  u64 bytes = 0, records = 0;
  for (const admin::JournalEntryShown& entry : journal->entries) {
    bytes += entry.bytes;
    records += entry.records;
  }
  for (auto _ : state) {
    auto mounted = Filesystem::mount(mount_options(image));
    expect_ok(mounted);
    state.PauseTiming();
    mounted->reset();  // as a crash: the history stays
    state.ResumeTiming();
  }
  state.counters["journal_MiB"] = static_cast<double>(bytes) / mib;
  state.counters["records"] = static_cast<double>(records);
}

void sizes(benchmark::internal::Benchmark* bench) {
  if (is_tiny_bench()) {
    bench->Arg(4);
  } else {
    bench->Arg(64)->Arg(1024);
  }
}
BENCHMARK(mount_after_kill)->Apply(sizes)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);

}  // namespace
}  // namespace cowfs
