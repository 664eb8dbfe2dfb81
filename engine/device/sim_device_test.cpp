#include "engine/device/sim_device.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <set>

#include "engine/device/aligned_buffer.h"
#include "engine/device/memory_device.h"
#include "engine/runtime/sim_reactor.h"
#include "engine/runtime/sync.h"

namespace cowfs::device {
namespace {

using runtime::Gate;
using runtime::SimCores;
using runtime::Task;

constexpr u64 device_blocks = 32;
constexpr Bytes device_bytes{device_blocks * block_bytes};

Task<Status> write_block(Device& device, u64 block, u8 value, bool durable = false) {
  AlignedBuffer buffer{block_bytes};
  std::memset(buffer.data(), value, buffer.size());
  co_return co_await device.write(block * block_bytes, buffer.span(), durable);
}

struct ReadBlock {
  Status status;
  AlignedBuffer bytes;
};

Task<ReadBlock> read_block(Device& device, u64 block) {
  ReadBlock result{{}, AlignedBuffer{block_bytes}};
  result.status = co_await device.read(block * block_bytes, result.bytes.span());
  co_return result;
}

Task<Status> flush(Device& device) { co_return co_await device.flush(); }
Task<Status> discard(Device& device, u64 block) { co_return co_await device.discard(block * block_bytes, block_bytes); }

std::array<u8, block_bytes> block_of(const Image& image, u64 block) {
  std::array<u8, block_bytes> bytes;
  image.read(block * block_bytes, std::as_writable_bytes(std::span{bytes}));
  return bytes;
}

bool holds(const Image& image, u64 block, u8 value) {
  for (const u8 byte : block_of(image, block)) {
    if (byte != value) return false;
  }
  return true;
}

Task<void> set_time_limit(SimDevice& device, u64 limit_ns, std::vector<Error>& told) {
  device.set_time_limit(limit_ns, [&told](const Error& error) { told.push_back(error); });
  co_return;
}

Task<void> end_time_limit(SimDevice& device) { co_await device.end_time_limit(); }

// Cores and a device with a few steps as plain calls.
struct Bench {
  explicit Bench(u64 seed, SimDeviceSettings settings = {})
      : cores({.cores = 1, .seed = seed}), device(device_bytes, seeded(settings, seed)) {}
  static SimDeviceSettings seeded(SimDeviceSettings settings, u64 seed) {
    settings.seed = seed;
    return settings;
  }
  Status write(u64 block, u8 value, bool durable = false) {
    return cores.run(0, write_block(device, block, value, durable));
  }
  void limit_time(u64 limit_ns, std::vector<Error>& told) { cores.run(0, set_time_limit(device, limit_ns, told)); }
  void end_time_limit() { cores.run(0, device::end_time_limit(device)); }
  ReadBlock read(u64 block) { return cores.run(0, read_block(device, block)); }
  Status flush() { return cores.run(0, device::flush(device)); }
  bool reads_as(u64 block, u8 value) {
    const ReadBlock got = read(block);
    if (!got.status.ok()) return false;
    for (const std::byte byte : got.bytes.span()) {
      if (byte != std::byte{value}) return false;
    }
    return true;
  }

  SimCores cores;
  SimDevice device;
};

TEST(Image, AgainstPlainBytesAndCopiesAreIndependent) {
  const u64 seed = 7;
  SCOPED_TRACE(seed);
  Random random{seed};
  Image image{100'000};
  std::vector<std::byte> model(100'000);
  for (int round = 0; round < 300; ++round) {
    const u64 offset = random.below(model.size());
    const u64 length = random.below(model.size() - offset) / (1 + random.below(20));
    std::vector<std::byte> data(length, static_cast<std::byte>(random.next()));
    const Image before = image;
    image.write(offset, data);
    EXPECT_EQ(before == image,
              std::equal(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(offset)));
    std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
    std::vector<std::byte> got(model.size());
    image.read(0, got);
    ASSERT_EQ(got, model);
  }
}

TEST(SimDevice, CompletedWritesAreReadAndOnlyFlushedOnesAreSafe) {
  Bench bench{1};
  EXPECT_TRUE(bench.write(1, 11).ok());
  EXPECT_TRUE(bench.flush().ok());
  EXPECT_TRUE(bench.write(2, 22).ok());
  EXPECT_TRUE(bench.write(3, 33, true).ok());
  EXPECT_TRUE(bench.reads_as(1, 11) && bench.reads_as(2, 22) && bench.reads_as(3, 33) && bench.reads_as(4, 0));
  const Image lost = bench.device.crash_image_all_lost();
  EXPECT_TRUE(holds(lost, 1, 11));
  EXPECT_TRUE(holds(lost, 2, 0));
  EXPECT_TRUE(holds(lost, 3, 33));
  ASSERT_EQ(bench.device.pending_writes().size(), 1u);
  EXPECT_EQ(bench.device.pending_writes()[0].offset, 2 * block_bytes);
  EXPECT_TRUE(bench.device.pending_writes()[0].completed);
}

// A durable write over one that is not: losing the older must not bring the newer down with it.
TEST(SimDevice, ADurableWriteStaysOnTopOfAPendingOne) {
  for (u64 seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Bench bench{seed};
    EXPECT_TRUE(bench.write(5, 1).ok());
    EXPECT_TRUE(bench.write(5, 2, true).ok());
    Random random{seed};
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(holds(bench.device.crash_image(random), 5, 2));
  }
}

TEST(SimDevice, CrashImagesAreWholeTornOrMissing) {
  for (const u64 unit_bytes : {512, 4096}) {
    SCOPED_TRACE(unit_bytes);
    Bench bench{3, {.unit_bytes = unit_bytes}};
    EXPECT_TRUE(bench.write(1, 11).ok());
    EXPECT_TRUE(bench.flush().ok());
    EXPECT_TRUE(bench.write(1, 99).ok());
    Random random{3};
    u64 whole = 0, missing = 0, torn = 0;
    for (int i = 0; i < 300; ++i) {
      const auto bytes = block_of(bench.device.crash_image(random), 1);
      u64 news = 0;
      for (u64 unit = 0; unit < block_bytes; unit += unit_bytes) {
        const std::set<u8> values(bytes.begin() + static_cast<std::ptrdiff_t>(unit),
                                  bytes.begin() + static_cast<std::ptrdiff_t>(unit + unit_bytes));
        ASSERT_EQ(values.size(), 1u);
        ASSERT_TRUE(values.contains(11) || values.contains(99));
        news += values.contains(99) ? unit_bytes : 0;
      }
      whole += news == block_bytes;
      missing += news == 0;
      torn += news != 0 && news != block_bytes;
    }
    EXPECT_GT(whole, 10u);
    EXPECT_GT(missing, 10u);
    EXPECT_EQ(torn > 10, unit_bytes < block_bytes);
  }
}

Task<void> write_many(Device& device, u64 first, u64 count, u8 value) {
  Gate gate;
  u64 errors = 0;
  const auto write = [](Device& target, u64 block, u8 byte, u64& failed) -> Task<void> {
    const Status written = co_await write_block(target, block, byte);
    failed += !written.ok();
  };
  for (u64 block = first; block < first + count; ++block) gate.spawn(write(device, block, value, errors));
  co_await gate.drained();
  EXPECT_EQ(errors, 0u);
}

TEST(SimDevice, EverySubsetCanBeEnumerated) {
  Bench bench{4};
  bench.cores.run(0, write_many(bench.device, 0, 4, 9));
  const auto pending = bench.device.pending_writes();
  ASSERT_EQ(pending.size(), 4u);
  std::set<std::vector<bool>> seen;
  for (u64 mask = 0; mask < 16; ++mask) {
    const Image image = bench.device.crash_image([&](std::size_t write, u64) { return ((mask >> write) & 1) != 0; });
    std::vector<bool> present;
    for (u64 block = 0; block < 4; ++block) present.push_back(holds(image, block, 9));
    seen.insert(present);
    for (std::size_t write = 0; write < 4; ++write) {
      EXPECT_EQ(holds(image, pending[write].offset / block_bytes, 9), ((mask >> write) & 1) != 0);
    }
  }
  EXPECT_EQ(seen.size(), 16u);
}

TEST(SimDevice, SameSeedSameHistory) {
  const auto hash = [](u64 seed) {
    Bench bench{seed};
    bench.cores.run(0, write_many(bench.device, 0, 20, 5));
    EXPECT_TRUE(bench.flush().ok());
    return bench.device.trace_hash() ^ bench.cores.trace_hash();
  };
  for (u64 seed = 1; seed < 5; ++seed) {
    EXPECT_EQ(hash(seed), hash(seed));
    EXPECT_NE(hash(seed), hash(seed + 1));
  }
}

TEST(SimDevice, WritesCompleteOutOfOrder) {
  Bench bench{6};
  std::vector<u64> order;
  bench.cores.run(0, write_many(bench.device, 0, 16, 1));
  for (const PendingWrite& write : bench.device.pending_writes()) order.push_back(write.offset);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

TEST(SimDevice, ErrorsStrikeTheNthOfTheirKind) {
  Bench bench{8};
  bench.device.set_index(3);
  bench.device.set_faults({.read_error_at = 2, .write_error_at = 2, .flush_error_at = 1});
  EXPECT_TRUE(bench.write(0, 1).ok());
  const Status second = bench.write(1, 1);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::device_io_failed);
  EXPECT_EQ(second.error().value, static_cast<u64>(EIO));
  EXPECT_EQ(second.error().place.device, 3u);
  EXPECT_TRUE(bench.write(1, 1).ok());
  EXPECT_TRUE(bench.read(0).status.ok());
  EXPECT_FALSE(bench.read(0).status.ok());
  EXPECT_TRUE(bench.read(0).status.ok());
  EXPECT_FALSE(bench.flush().ok());
  EXPECT_TRUE(bench.flush().ok());
}

TEST(SimDevice, AfterAFailedFlushTheNextMayHaveForgotten) {
  u64 forgotten = 0;
  for (u64 seed = 1; seed <= 40; ++seed) {
    Bench bench{seed};
    EXPECT_TRUE(bench.write(0, 1).ok());
    bench.device.set_faults({.flush_error_at = 1});
    EXPECT_FALSE(bench.flush().ok());
    EXPECT_TRUE(bench.flush().ok());
    forgotten += !holds(bench.device.crash_image_all_lost(), 0, 1);
  }
  EXPECT_GT(forgotten, 5u);
  EXPECT_LT(forgotten, 35u);
}

TEST(SimDevice, LiesAndStrayRequests) {
  Bench bench{10};
  bench.device.set_faults({.lost_write_at = 1});
  EXPECT_TRUE(bench.write(0, 1).ok());
  EXPECT_TRUE(bench.reads_as(0, 0));

  bench.device.set_faults({.misdirected_write_at = 1});
  EXPECT_TRUE(bench.write(0, 2).ok());
  EXPECT_TRUE(bench.reads_as(0, 0));
  u64 found = 0;
  for (u64 block = 0; block < device_blocks; ++block) found += bench.reads_as(block, 2);
  EXPECT_EQ(found, 1u);

  EXPECT_TRUE(bench.write(0, 3).ok());
  bench.device.set_faults({.misdirected_read_at = 1});
  EXPECT_FALSE(bench.reads_as(0, 3));
  EXPECT_TRUE(bench.reads_as(0, 3));

  bench.device.set_faults({.flipped_read_at = 1});
  EXPECT_FALSE(bench.reads_as(0, 3));
  EXPECT_TRUE(bench.reads_as(0, 3));
  bench.device.set_faults({.flipped_write_at = 1});
  EXPECT_TRUE(bench.write(0, 4).ok());
  EXPECT_FALSE(bench.reads_as(0, 4));

  bench.device.set_faults({.lost_flush_at = 1});
  EXPECT_TRUE(bench.write(9, 5).ok());
  EXPECT_TRUE(bench.flush().ok());
  EXPECT_TRUE(holds(bench.device.crash_image_all_lost(), 9, 0));
  EXPECT_TRUE(bench.flush().ok());
  EXPECT_TRUE(holds(bench.device.crash_image_all_lost(), 9, 5));
}

TEST(SimDevice, UnreadableBlocksHealWhenWritten) {
  Bench bench{11};
  bench.device.make_unreadable(4 * block_bytes, 2 * block_bytes);
  EXPECT_TRUE(bench.read(3).status.ok());
  EXPECT_FALSE(bench.read(4).status.ok());
  EXPECT_FALSE(bench.read(5).status.ok());
  EXPECT_TRUE(bench.write(4, 1).ok());
  EXPECT_TRUE(bench.reads_as(4, 1));
  EXPECT_FALSE(bench.read(5).status.ok());
}

TEST(SimDevice, ADiscardedBlockPromisesNothing) {
  std::set<int> outcomes;
  for (u64 seed = 1; seed <= 30; ++seed) {
    Bench bench{seed};
    EXPECT_TRUE(bench.write(1, 7).ok());
    EXPECT_TRUE(bench.cores.run(0, discard(bench.device, 1)).ok());
    outcomes.insert(bench.reads_as(1, 7) ? 7 : bench.reads_as(1, 0) ? 0 : -1);
  }
  EXPECT_EQ(outcomes, (std::set<int>{-1, 0, 7}));
}

Task<u64> write_until_error(Device& device) {
  for (u64 block = 0; block < device_blocks; ++block) {
    const Status written = co_await write_block(device, block, 1);
    if (!written.ok()) {
      EXPECT_EQ(written.error().value, static_cast<u64>(ENODEV));
      co_return block;
    }
  }
  co_return device_blocks;
}

TEST(SimDevice, PowerIsCutAtTheNthRequest) {
  for (u64 at = 1; at <= 10; ++at) {
    Bench bench{at};
    bench.device.set_faults({.power_cut_at = at});
    EXPECT_EQ(bench.cores.run(0, write_until_error(bench.device)), at - 1);
    EXPECT_TRUE(bench.device.power_is_cut());
    EXPECT_FALSE(bench.flush().ok());
    const auto pending = bench.device.pending_writes();
    ASSERT_EQ(pending.size(), at);
    EXPECT_FALSE(pending.back().completed);
    // The write under way may have reached the medium, and a new device starts from any such image.
    const Image kept = bench.device.crash_image([](std::size_t, u64) { return true; });
    EXPECT_TRUE(holds(kept, at - 1, 1));
    SimDevice again{kept, {}};
    EXPECT_TRUE(bench.cores.run(0, read_block(again, at - 1)).status.ok());
    EXPECT_TRUE(again.pending_writes().empty());
  }
}

TEST(SimDevice, AfterAPowerCutRequestsCanHang) {
  // Not destroyed: tasks that wait for ever point into both.
  auto& bench = *new Bench{12, {.hangs_after_power_cut = true}};
  static Bench* reachable = nullptr;
  reachable = &bench;
  bench.device.set_faults({.power_cut_at = 3});
  EXPECT_FALSE(bench.cores.try_run(0, write_until_error(bench.device)).has_value());
  EXPECT_EQ(reachable->device.pending_writes().size(), 3u);
}

// A device that never answers kept whoever waited for it, and everybody behind them, for ever.
TEST(TimeLimit, ARequestThatHangsFailsTheDevice) {
  constexpr u64 limit_ns = 1'000'000'000;
  struct Case {
    const char* name;
    u64 hang_ns;
    bool fails;
  };
  for (const Case& c : {Case{"slow", limit_ns - 1'000'000, false},
                        Case{"late, and answered at the second look", limit_ns + limit_ns / 16, false},
                        Case{"hung", 5 * limit_ns, true}}) {
    SCOPED_TRACE(c.name);
    Bench bench(1, {.hang_ns = c.hang_ns});
    std::vector<Error> told;
    bench.limit_time(limit_ns, told);
    EXPECT_TRUE(bench.write(3, 1).ok());
    bench.device.set_faults({.hang_at = 1});
    const Status written = bench.write(7, 2);
    EXPECT_TRUE(written.ok()) << "what was answered late was answered";
    EXPECT_EQ(bench.device.has_failed(), c.fails);
    ASSERT_EQ(told.size(), c.fails ? 1u : 0u);
    const Status later = bench.write(8, 3);
    EXPECT_EQ(later.ok(), !c.fails);
    bench.end_time_limit();
    if (!c.fails) continue;
    EXPECT_EQ(told[0].code, Code::device_timed_out);
    EXPECT_EQ(told[0].place.offset_bytes, 7 * block_bytes);
    EXPECT_EQ(told[0].value, (limit_ns + limit_ns / 8) / 1'000'000);
    EXPECT_EQ(later.error().code, Code::device_io_failed);
    EXPECT_EQ(later.error().value, static_cast<u64>(ETIMEDOUT));
  }
}

TEST(SimDevice, TheObserverSeesEveryCompletion) {
  Bench bench{13};
  u64 seen = 0;
  bench.device.set_observer([&](SimDevice& device) {
    ++seen;
    EXPECT_LE(device.pending_writes().size(), 5u);
  });
  for (u8 i = 0; i < 5; ++i) EXPECT_TRUE(bench.write(i, 1).ok());
  EXPECT_TRUE(bench.flush().ok());
  EXPECT_EQ(seen, 6u);
}

TEST(MemoryDevice, StartsFromAnImageAndRunsOnSimulatedCores) {
  Bench bench{14};
  EXPECT_TRUE(bench.write(6, 66).ok());
  auto memory = make_memory_device(bench.device.image());
  ASSERT_TRUE(memory.ok());
  const ReadBlock got = bench.cores.run(0, read_block(**memory, 6));
  EXPECT_TRUE(got.status.ok());
  EXPECT_EQ(got.bytes.data()[100], std::byte{66});
}

}  // namespace
}  // namespace cowfs::device
