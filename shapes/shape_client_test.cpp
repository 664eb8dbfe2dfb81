// Every shape on a target in memory: what it makes, what it does, how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/ready_task.h"
#include "harness/test_targets.h"
#include "shapes/shape_client.h"

namespace cowbench::shapes {
namespace {

using harness::MemoryTarget;
using harness::run_ready;
using testing::Contains;
using testing::HasSubstr;
using testing::Pair;

// Its clock goes on with each look; it stops after so many operations.
struct CountedHost {
  explicit CountedHost(u64 operations) : left(operations) {}
  u64 left;
  u64 clock_ns = 0;
  u64 counted = 0, bytes = 0, written = 0;
  std::map<std::size_t, u64> latencies;

  u64 now_ns() { return clock_ns += 10; }
  bool stop_requested() { return left == 0 || left-- == 0; }
  void count(u64 moved, bool was_written) {
    ++counted;
    bytes += moved;
    if (was_written) written += moved;
  }
  void record_latency(std::size_t kind, u64) { ++latencies[kind]; }
  void record_response(std::size_t kind, u64) { ++latencies[kind]; }
  Ready<void> turn() { return {}; }
};

using Client = ShapeClient<MemoryTarget, CountedHost>;

ShapeLoad load_of(const std::string& name, u32 clients = 1) {
  ShapeLoad load;
  load.shape = find_shapes({name})->front();
  load.clients = clients;
  load.scale = 1e-5;
  load.files = std::min<u64>(load.shape->files, 8);
  if (load.shape->file_bytes == 64 * cowfs::mib) load.file_bytes = 8 * load.block_bytes;
  return load;
}

// Prepared by clients of their own, as in a round.
std::string run(const ShapeLoad& load, MemoryTarget& target, CountedHost& host, u32 number = 0) {
  for (u32 other = 0; other <= number; ++other) {
    Client before(load, other, "", 1, target, host);
    run_ready(before.prepare());
    if (!before.failure().empty()) return before.failure();
  }
  target.counts.clear();
  Client client(load, number, "", 1, target, host);
  run_ready(client.begin());
  run_ready(client.run());
  run_ready(client.end());
  return client.failure();
}

TEST(Shapes, EachRunsAndLeavesNothingOpen) {
  for (const Shape& shape : all_shapes()) {
    SCOPED_TRACE(shape.name);
    MemoryTarget target;
    CountedHost host(20);
    const ShapeLoad load = load_of(std::string(shape.name), 2);
    EXPECT_EQ(run(load, target, host, shape.writer ? 1 : 0), "");
    EXPECT_EQ(host.counted, shape.is_finite() ? 8 : 20);
    EXPECT_EQ(host.latencies[static_cast<std::size_t>(ShapeLatency::whole)], host.counted);
    EXPECT_EQ(host.bytes > 0, shape.moves_bytes());
    EXPECT_EQ(host.written > 0, shape.moves_bytes() && shape.writes());
    EXPECT_EQ(target.open_handles(), 0u);
  }
}

TEST(Shapes, TheWriterIsNotCounted) {
  for (const Shape& shape : all_shapes()) {
    if (!shape.writer) continue;
    SCOPED_TRACE(shape.name);
    MemoryTarget target;
    CountedHost host(20);
    EXPECT_EQ(run(load_of(std::string(shape.name), 2), target, host, 0), "");
    EXPECT_EQ(host.counted, 0u);
    EXPECT_EQ(host.latencies[static_cast<std::size_t>(ShapeLatency::meanwhile)], 20u);
    EXPECT_EQ(target.open_handles(), 0u);
  }
}

TEST(Shapes, CallsAreThoseOfTheName) {
  struct Case {
    const char* name;
    harness::CallCounts calls;
  };
  const Case cases[] = {
      {"DWSL", {{"open", 1}, {"pwrite", 20}, {"fsync", 20}, {"close", 1}}},
      {"DWAL", {{"open", 1}, {"pwrite", 20}, {"truncate", 2}, {"close", 1}}},
      {"DWTL", {{"open", 1}, {"truncate", 8}, {"close", 1}}},
      {"DRBH", {{"open", 1}, {"pread", 20}, {"close", 1}}},
      {"MWCL", {{"open", 20}, {"close", 20}}},
      {"MWUM", {{"unlink", 8}}},
      {"MWRM", {{"rename", 20}}},
      {"MRPM", {{"open", 20}, {"close", 20}}},
      {"fs_mark", {{"open", 20}, {"pwrite", 20}, {"fsync", 20}, {"close", 20}}},
      {"checkpoint", {{"open", 20}, {"pwrite", 20}, {"fsync", 20}, {"close", 20}, {"rename", 20}}},
      {"mdtest-stat", {{"stat", 20}}},
      {"resnet50", {{"open", 20}, {"pread", 20}, {"close", 20}}},
  };
  for (const Case& expected : cases) {
    SCOPED_TRACE(expected.name);
    MemoryTarget target;
    CountedHost host(20);
    EXPECT_EQ(run(load_of(expected.name), target, host), "");
    EXPECT_EQ(target.counts, expected.calls);
  }
}

TEST(Shapes, ClientsOfACommonDirectoryDoNotMeet) {
  MemoryTarget target;
  const ShapeLoad load = load_of("MWUM", 2);
  CountedHost first(100), second(100);
  Client other(load, 1, "", 1, target, second);
  run_ready(other.prepare());
  EXPECT_EQ(run(load, target, first, 0), "");
  EXPECT_EQ(first.counted, 8u);
  EXPECT_EQ(target.below("/common").size(), 8u);  // of the other
}

TEST(Shapes, AFailureNamesClientAndPath) {
  MemoryTarget target;
  CountedHost host(20);
  const ShapeLoad load = load_of("MWUL");
  Client unprepared(load, 3, "", 1, target, host);
  run_ready(unprepared.run());
  EXPECT_THAT(unprepared.failure(), HasSubstr("client 3: MWUL /own-3/3-0: No such file"));
}

TEST(Shapes, EachSampleIsReadOnceBeforeAnyIsReadAgain) {
  ShapeLoad load = load_of("cosmoflow");
  load.files = 8;
  MemoryTarget target;
  CountedHost host(16);
  EXPECT_EQ(run(load, target, host), "");
  u64 bytes = 0;
  for (u64 file = 0; file < 8; ++file) bytes += 2 * load.size_of(0, file);
  EXPECT_EQ(host.bytes, bytes);
}

TEST(Shapes, AreFoundByNameAndFamily) {
  const auto both = find_shapes({"mdtest-stat", "mdtest"});
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(both->size(), 4u);
  EXPECT_EQ(both->front()->name, "mdtest-stat");
  const auto none = find_shapes({"MWXL"});
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.failure().what, HasSubstr("MWXL"));
}

TEST(Shapes, SizesAreScaledAndSpread) {
  ShapeLoad load = load_of("unet3d");
  load.scale = 0.01;
  EXPECT_NE(load.size_of(0, 0), load.size_of(0, 1));
  EXPECT_EQ(load.size_of(0, 0) % load.block_bytes, 0u);
  double sum = 0;
  for (u64 file = 0; file < 1000; ++file) sum += static_cast<double>(load.size_of(0, file));
  EXPECT_NEAR(sum / 1000, 1'466'006, 100'000);
}

}  // namespace
}  // namespace cowbench::shapes
