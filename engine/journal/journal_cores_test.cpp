// The same journal on real threads and io_uring: what the simulator cannot show is a data race.
#include <gtest/gtest.h>

#include "engine/device/memory_device.h"
#include "engine/journal/journal.h"
#include "engine/runtime/cores.h"
#include "engine/runtime/on.h"

namespace cowfs::journal {
namespace {

struct KeepsEverything final : EpochObserver, ReclaimTarget {
  Epoch durable;
  void epoch_sealed(Epoch) override {}
  void epoch_durable(Epoch epoch) override { durable = epoch; }
  Epoch oldest_needed(CoreIndex) override { return {2}; }
  void checkpoint_wanted(Epoch) override {}
};

constexpr u64 commits = 100;

Task<u64> committing_client(Stream& stream) {
  u64 failures = 0;
  const std::vector<std::byte> value(100, std::byte{7});
  for (u64 i = 0; i < commits; ++i) {
    const Status room = co_await stream.reserve(record_bytes(value.size()));
    if (!room.ok()) ++failures;
    stream.append(stream.core(), TreeId::extents, UpdateKind::upsert, {1, i, 0}, value);
    const Status status = co_await stream.commit(stream.current());
    if (!status.ok()) ++failures;
  }
  co_return failures;
}

Task<u64> client_on(CoreIndex core, Journal& journal) {
  auto call = runtime::on(core, [&journal, core] { return committing_client(journal.stream(core)); });
  const u64 failures = co_await call;
  co_return failures;
}

Task<void> counted(CoreIndex core, Journal& journal, u64& failures) { failures += co_await client_on(core, journal); }

Task<u64> whole_session(device::Device& device, const format::Superblock& superblock) {
  const Status initialised = co_await Journal::initialise(device, superblock);
  EXPECT_TRUE(initialised.ok());
  const Result<History> before = co_await read_history(device, superblock);
  EXPECT_TRUE(before.ok());
  const u16 cores = runtime::this_reactor().cores();
  std::vector<KeepsEverything> slices(cores);
  std::vector<CoreHooks> hooks;
  for (KeepsEverything& slice : slices) hooks.push_back({&slice, &slice});
  Journal journal({&device}, *before, hooks);
  EXPECT_TRUE(journal.start().ok());
  runtime::Gate gate;
  u64 failures = 0;
  for (CoreIndex core = 0; core < cores; ++core)
    for (int client = 0; client < 4; ++client) gate.spawn(counted(core, journal, failures));
  co_await gate.drained();
  co_await journal.stop();
  EXPECT_EQ(failures, 0u);
  EXPECT_LE(journal.counters().commits, cores * 4 * commits);  // closes are shared

  const Result<History> after = co_await read_history(device, superblock);
  EXPECT_TRUE(after.ok());
  EXPECT_EQ(after->last, journal.durable());
  u64 records = 0;
  const Status replayed = co_await replay(*after, device, [&records](Epoch, const format::Record&) {
    ++records;
    return Status{};
  });
  EXPECT_TRUE(replayed.ok());
  // Cores that went through all of history to find their own replayed one after the other.
  u64 in_parts = 0;
  for (CoreIndex core = 0; core < cores; ++core) {
    const History part = after->part(slice_bit(core));
    for (const HistoryEntry& entry : part.entries) {
      EXPECT_EQ(entry.stream, core);
      in_parts += entry.records;
    }
  }
  EXPECT_EQ(in_parts, records);
  co_return records;
}

TEST(Journal, real_cores_commit_together) {
  auto cores = runtime::Cores::start({.cores = 2, .pin = false});
  ASSERT_TRUE(cores.ok()) << to_text(cores.error());
  format::Superblock superblock{};
  superblock.device_count = 1;
  ASSERT_TRUE(format::plan_geometry({.capacity = format::device_bytes_min}, superblock).ok());
  format::seal(superblock);
  auto device = device::make_memory_device(format::device_bytes_min);
  ASSERT_TRUE(device.ok());
  const u64 records = (*cores)->run(0, [&] { return whole_session(**device, superblock); });
  EXPECT_EQ(records, 2 * 4 * commits);
  (*cores)->stop();
}

}  // namespace
}  // namespace cowfs::journal
