// The cost of appending on one core, without a device's time: memory device, simulated reactor. And what one caller
// waits for a commit on a real file, in $TMPDIR, by the kind of the commit.
#include "engine/journal/journal.h"

#include <benchmark/benchmark.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/device/file_device.h"
#include "engine/device/memory_device.h"
#include "engine/runtime/cores.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::journal {
namespace {

// Checkpoints at every close: nothing is ever needed again.
struct Forgetful final : EpochObserver, ReclaimTarget {
  void epoch_sealed(Epoch) override {}
  void epoch_durable(Epoch) override {}
  Epoch oldest_needed(CoreIndex) override { return Epoch{~0ull}; }
  void checkpoint_wanted(Epoch) override {}
};

// What creating a file appends: two inodes and a name.
void append_create(Stream& stream, u64 number, ByteSpan value) {
  stream.append(0, TreeId::inodes, UpdateKind::upsert, {number, 0, 0}, value.first(112));
  stream.append(0, TreeId::dirents, UpdateKind::upsert, {1, number << 4, 0}, value.first(30));
  stream.append(0, TreeId::inodes, UpdateKind::upsert, {1, 0, 0}, value.first(112));
}
constexpr u64 create_bytes = record_bytes(112) + record_bytes(30) + record_bytes(112);

Task<Status> start(Journal& journal) { co_return journal.start(); }

Task<void> append_loop(Journal& journal, benchmark::State& state) {
  Stream& stream = journal.stream(0);
  const std::vector<std::byte> value(256, std::byte{1});
  const u64 between_commits = static_cast<u64>(state.range(0));
  u64 number = 0;
  for (auto _ : state) {
    const u64 reserved = create_bytes + 500;
    if (!stream.try_reserve(reserved)) {
      const Status room = co_await stream.reserve(reserved);
      assert(room.ok());
    }
    append_create(stream, ++number, value);
    stream.unreserve(reserved - create_bytes);
    if (number % between_commits != 0) continue;
    const Status status = co_await stream.commit(stream.current());
    assert(status.ok());
  }
  state.SetItemsProcessed(state.iterations() * 3);
  state.SetBytesProcessed(state.iterations() * static_cast<i64>(create_bytes));
}

void journal_append_create(benchmark::State& state) {
  runtime::SimCores cores({.cores = 1, .seed = 1});
  format::Superblock superblock{};
  superblock.device_count = 1;
  const Bytes capacity{gib};
  const Status planned = format::plan_geometry({.capacity = capacity}, superblock);
  assert(planned.ok());
  format::seal(superblock);
  auto device = device::make_memory_device(capacity);
  assert(device.ok());
  const Status initialised = cores.run(0, Journal::initialise(**device, superblock));
  assert(initialised.ok());
  const Result<History> history = cores.run(0, read_history(**device, superblock));
  assert(history.ok());
  Forgetful hooks;
  Journal journal({device->get()}, *history, {{&hooks, &hooks}});
  const Status started = cores.run(0, start(journal));
  assert(started.ok());
  cores.run(0, append_loop(journal, state));
  cores.run(0, journal.stop());
}
BENCHMARK(journal_append_create)->Arg(10)->Arg(100)->Arg(1000);

// On its core: a journal on `device`, and a commit of one created file in each iteration.
Task<Status> commit_loop(device::Device* device, benchmark::State* state) {
  format::Superblock superblock{};
  superblock.device_count = 1;
  Status done = format::plan_geometry({.capacity = device->capacity()}, superblock);
  if (!done.ok()) co_return done;
  format::seal(superblock);
  done = co_await Journal::initialise(*device, superblock);
  if (!done.ok()) co_return done;
  const Result<History> history = co_await read_history(*device, superblock);
  if (!history.ok()) co_return history.error();
  Forgetful hooks;
  std::vector<device::Device*> devices{device};
  std::vector<CoreHooks> core_hooks{{&hooks, &hooks}};
  const JournalOptions options{.single_flush = state->range(0) != 0};
  Journal journal(std::move(devices), *history, std::move(core_hooks), options);
  done = journal.start();
  if (!done.ok()) co_return done;
  Stream& stream = journal.stream(0);
  const std::vector<std::byte> value(256, std::byte{1});
  u64 number = 0;
  for (auto _ : *state) {
    done = co_await stream.reserve(create_bytes);
    assert(done.ok());
    append_create(stream, ++number, value);
    done = co_await stream.commit(stream.current());
    assert(done.ok());
  }
  co_await journal.stop();
  co_return done;
}

void journal_commit_on_file(benchmark::State& state) {
  const std::string path = std::filesystem::temp_directory_path() / ("journal_bench." + std::to_string(::getpid()));
  std::ofstream(path).close();
  std::filesystem::resize_file(path, format::device_bytes_min.value);
  {
    const auto device = device::open_device(path, device::OpenMode::read_write);
    assert(device.ok());
    const auto cores = runtime::Cores::start({.cores = 1, .pin = false});
    assert(cores.ok());
    device::Device* target = device->get();
    benchmark::State* into = &state;
    const Status done = (*cores)->run(0, [target, into] { return commit_loop(target, into); });
    assert(done.ok());
    (*cores)->stop();
  }
  std::filesystem::remove(path);
}
BENCHMARK(journal_commit_on_file)->ArgName("single_flush")->Arg(0)->Arg(1)->UseRealTime();

}  // namespace
}  // namespace cowfs::journal
