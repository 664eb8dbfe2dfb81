// Jobs on a directory, on an image with cowfs, on nothing, and (with root) on a loop device.
#include "harness/fio_workload.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "harness/fio_client.h"
#include "harness/stock_fio.h"
#include "harness/test_devices.h"
#include "harness/test_fio.h"

namespace cowbench::harness {
namespace {

using testing::HasSubstr;

class FioWorkloadTest : public FioTest {};

constexpr std::string_view mixed = R"([global]
size=16m
runtime=300ms
time_based
ioengine=io_uring
iodepth=16
direct=1
[mixed]
rw=randrw
fsync=32
numjobs=2
[sequential]
rw=write
bs=128k
)";

void expect_sound(const FioWorkload& load, const Outcome<RoundResult>& result) {
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_GT(result->operations, 0u);
  EXPECT_GT(result->write_bytes, 0u);
  EXPECT_LT(result->write_bytes, result->bytes);
  EXPECT_NEAR(result->measured_seconds, 0.3, 0.25);
  for (const FioLatency kind : {FioLatency::read, FioLatency::write, FioLatency::sync})
    EXPECT_FALSE(result->latency[static_cast<size_t>(kind)].empty()) << name(kind);
  const auto metrics = load.metrics(*result);
  for (const char* metric : {"iops", "bandwidth_mb_s", "clat_p50_ns", "clat_p99_ns", "flush_p50_ns"})
    EXPECT_GT(metrics.at(metric), 0) << metric;
  EXPECT_FALSE(metrics.contains("response_p50_ns"));
}

TEST_F(FioWorkloadTest, JobsRunTogetherOnADirectory) {
  const FioWorkload load = workload(mixed);
  EXPECT_EQ(load.clients(), 3u);
  expect_sound(load, run_on_directory(load));
}

TEST_F(FioWorkloadTest, JobsRunTogetherOnCowfs) {
  const FioWorkload load = workload(mixed);
  expect_sound(load, run_on_cowfs(load));
}

TEST_F(FioWorkloadTest, AJobWithoutRuntimeEndsWhenItHasDoneItsSize) {
  const FioWorkload load = workload("[a]\nrw=randwrite\nsize=4m\nioengine=libaio\niodepth=8\nend_fsync=1\n[b]\nrw=read\nsize=4m\n");
  for (const auto& result : {run_on_directory(load), run_on_cowfs(load)}) {
    ASSERT_TRUE(result.ok()) << to_text(result.failure());
    EXPECT_EQ(result->latency[static_cast<size_t>(FioLatency::write)].count +
                  result->latency[static_cast<size_t>(FioLatency::read)].count,
              2048u);
  }
}

TEST_F(FioWorkloadTest, TrimsAndSharedFiles) {
  const FioWorkload load = workload("[a]\nrw=randtrim\nsize=4m\nfilename=shared\n[b]\nrw=randread\nsize=4m\nfilename=shared\n");
  for (const auto& result : {run_on_directory(load), run_on_cowfs(load)}) {
    ASSERT_TRUE(result.ok()) << to_text(result.failure());
    EXPECT_EQ(result->latency[static_cast<size_t>(FioLatency::trim)].count, 1024u);
  }
}

// 200 operations a second for half a second; a closed loop would do tens of thousands.
TEST_F(FioWorkloadTest, ARateIsKeptAndLatencyCountsFromWhenItWasDue) {
  for (const char* process : {"linear", "poisson"}) {
    SCOPED_TRACE(process);
    const FioWorkload load = workload(std::string("[a]\nrw=randread\nsize=4m\nruntime=500ms\ntime_based\nrate_iops=200\n"
                                                  "ioengine=io_uring\niodepth=4\nrate_process=") + process);
    for (const auto& result : {run_on_directory(load), run_on_cowfs(load)}) {
      ASSERT_TRUE(result.ok()) << to_text(result.failure());
      EXPECT_NEAR(result->ops_s, 200, 80);
      const auto& service = result->latency[static_cast<size_t>(FioLatency::read)];
      const auto& response = result->latency[static_cast<size_t>(FioLatency::read_response)];
      EXPECT_EQ(service.count, response.count);
      EXPECT_GE(response.sum_ns, service.sum_ns);
      EXPECT_TRUE(load.metrics(*result).contains("response_p99_ns"));
    }
  }
}

// Two clones of 1 MiB are a file each, so they have 2 MiB of the device, and nothing behind them is touched.
TEST_F(FioWorkloadTest, OnADeviceFilesLieBehindEachOther) {
  COWBENCH_NEEDS_LOOP();
  MediaRequest request;
  request.kind = MediaKind::ram;
  request.size_bytes = 64 * cowfs::mib;
  request.directory = directory_ + "/media";
  auto media = Media::attach(*ledger_, request);
  ASSERT_TRUE(media.ok()) << to_text(media.failure());
  const int device = open(media->image().c_str(), O_RDWR | O_CLOEXEC);
  std::vector<std::byte> bytes(4 * cowfs::mib, std::byte{0xff});
  ASSERT_EQ(pwrite(device, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));

  const FioWorkload load = workload("[a]\nrw=randwrite\nsize=1m\ndirect=1\nnumjobs=2\nzero_buffers\nioengine=io_uring\niodepth=8\n");
  auto target = KernelTarget::create(*parse_target("raw"), *ledger_, &*media);
  ASSERT_TRUE(target.ok()) << to_text(target.failure());
  ASSERT_TRUE(target->prepare().ok());
  const auto result = load.run(*target, round_of(load), 1);
  EXPECT_TRUE(target->finish().ok());
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_EQ(result->write_bytes, 2 * cowfs::mib);

  ASSERT_EQ(pread(device, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  close(device);
  const auto written = bytes.begin() + 2 * cowfs::mib;
  EXPECT_EQ(std::count(bytes.begin(), written, std::byte{0}), 2 * cowfs::mib);
  EXPECT_EQ(std::count(written, bytes.end(), std::byte{0xff}), 2 * cowfs::mib);
  EXPECT_TRUE(media->detach().ok());
}

TEST_F(FioWorkloadTest, OnNothingOnlyTheClientsCost) {
  const FioWorkload load = workload("[a]\nrw=randwrite\nsize=1g\nruntime=100ms\ntime_based\n");
  const auto result = load.run_on_nothing(round_of(load), 1);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_GT(result->ops_s, 100'000);
}

// The rate itself decides, so that it is wide: a busy machine may halve a second of one.
TEST_F(FioWorkloadTest, ALoadEndsWhenItIsSteady) {
  const FioWorkload load =
      workload("[a]\nrw=randread\nsize=1m\nruntime=60\ntime_based\nrate_iops=500\nsteadystate=iops:90%\nss_dur=2\n");
  ASSERT_TRUE(load.check().ok());
  const auto result = run_on_directory(load);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_GE(result->measured_seconds, 1.8);
  EXPECT_LT(result->measured_seconds, 60);
  ASSERT_TRUE(result->steady);
  EXPECT_NEAR(result->steady->ops_s, 500, 250);
  EXPECT_EQ(load.metrics(*result).at("steady_iops"), result->steady->ops_s);
}

TEST_F(FioWorkloadTest, AWindowInWhichItIsNeverSteadyIsSaid) {
  const FioWorkload load = workload("[a]\nrw=randread\nsize=1m\nruntime=1\ntime_based\nsteadystate=iops:1%\nss_dur=60\n");
  const auto result = run_on_directory(load);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_FALSE(result->steady);
  EXPECT_THAT(result->remarks, testing::ElementsAre("NOT STEADY after 1 s"));
}

TEST_F(FioWorkloadTest, WindowsPreconditionInsteadOfAWarmUp) {
  FioLoad given{"test.fio", jobs("[a]\nrw=randread\nsize=1m\nruntime=200ms\ntime_based\nrate_iops=500\nramp_time=1\n")};
  given.precondition_seconds = 1;
  const FioWorkload load(std::move(given));
  const auto result = run_on_directory(load);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_GE(result->warmup_seconds, 4.5);
  EXPECT_THAT(result->remarks, testing::ElementsAre(testing::StartsWith("preconditioned for ")));
}

TEST_F(FioWorkloadTest, WhatDoesNotFitIsSaid) {
  const auto full = run_on_cowfs(workload("[a]\nrw=write\nsize=2g\n"));
  ASSERT_FALSE(full.ok());
  EXPECT_THAT(full.failure().what, HasSubstr("/a.0/a.0.0"));
  const Action misaligned = workload("[a]\nrw=write\nsize=1m\nbs=1000\ndirect=1\n").check();
  ASSERT_FALSE(misaligned.ok());
  EXPECT_THAT(misaligned.failure().what, HasSubstr("512"));
  const auto device = DeviceLayout::plan(jobs("[a]\nrw=write\nsize=1g\nnumjobs=4\n"), 2 * cowfs::gib);
  ASSERT_FALSE(device.ok());
  EXPECT_THAT(device.failure().remedy, HasSubstr("--size"));
}

TEST(IoMemory, BuffersBeginAtPagesAndLieApart) {
  const auto memory = IoMemory::map(3, 5000);
  ASSERT_TRUE(memory.ok());
  for (u32 buffer = 0; buffer < 3; ++buffer) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->buffer(buffer).data()) % 4096, 0u);
    EXPECT_EQ(memory->buffer(buffer).size(), 5000u);
  }
  EXPECT_EQ(memory->buffer(1).data() - memory->buffer(0).data(), 8192);
  EXPECT_GE(memory->whole().size(), 3 * 8192u);
}

TEST(FioSchedule, OperationsAreDueAtTheRateAsked) {
  const auto due_of = [](const char* settings, u32 operations) {
    const auto read = jobs(std::string("[a]\nsize=1m\nrw=randread\n") + settings);
    FioSchedule schedule(read.front(), 1);
    schedule.start(1'000'000);
    u64 due = 0;
    for (u32 at = 0; at < operations; ++at) due = schedule.due_ns({FioOp::Kind::read, 0, 0, 4096});
    return due;
  };
  EXPECT_EQ(due_of("", 5), 0u);  // at once
  EXPECT_EQ(due_of("rate_iops=1000\n", 5), 6'000'000u);
  EXPECT_EQ(due_of("rate=4096000\n", 5), 6'000'000u);  // 1000 blocks
  EXPECT_NEAR(static_cast<double>(due_of("rate_iops=1000\nrate_process=poisson\n", 10'000)), 10e9, 0.3e9);
}

// A target that takes 10 ms for each operation, and a clock that only it and sleeping move.
struct SlowFiles {
  u64& now_ns;
  Ready<i64> take(u64 bytes) { return now_ns += 10'000'000, Ready<i64>{static_cast<i64>(bytes)}; }
  Ready<i64> read(u32, MutableByteSpan into, u64) { return take(into.size()); }
  Ready<i64> write(u32, ByteSpan from, u64) { return take(from.size()); }
  Ready<i64> trim(u32, u64, u64) { return take(0); }
  Ready<i64> sync(u32, bool) { return take(0); }
};
struct RecordingHost {
  u64 clock_ns = 0;
  std::array<std::vector<u64>, fio_latency_kinds> latencies;
  u64 now_ns() { return clock_ns; }
  bool stop_requested() { return false; }
  Ready<void> sleep_until(u64 deadline_ns) { return clock_ns = std::max(clock_ns, deadline_ns), Ready<void>{}; }
  Ready<void> turn() { return {}; }
  void count(u64, bool) {}
  void record_latency(size_t kind, u64 ns) { latencies[kind].push_back(ns); }
  void record_response(size_t kind, u64 ns) { latencies[kind].push_back(ns); }
  void mismatch(const std::string& text) { ADD_FAILURE() << text; }
  void remark(const std::string& text) { ADD_FAILURE() << text; }
};

// 1000 operations a second are wanted and 100 are what the target gives: a client that only measured from when it began
// would say 10 ms for each.
TEST(FioClient, AnOperationThatBeginsLateCountsFromWhenItWasDue) {
  const auto read = jobs("[a]\nrw=read\nsize=16k\nrate_iops=1000\n");
  const auto memory = IoMemory::map(1, 4096);
  ASSERT_TRUE(memory.ok());
  RecordingHost host;
  SlowFiles files{host.clock_ns};
  FioClient<SlowFiles, RecordingHost> client({&read.front(), 0, 1, 0}, files, host, *memory);
  run_ready(client.run());
  EXPECT_EQ(client.failure(), "");
  const u64 ms = 1'000'000;
  EXPECT_EQ(host.latencies[static_cast<size_t>(FioLatency::read)], (std::vector<u64>{10 * ms, 10 * ms, 10 * ms, 10 * ms}));
  EXPECT_EQ(host.latencies[static_cast<size_t>(FioLatency::read_response)],
            (std::vector<u64>{10 * ms, 19 * ms, 28 * ms, 37 * ms}));
}

TEST(FioLoads, AreCutAtStonewalls) {
  const auto loads = fio_loads("x.fio", jobs("[a]\nsize=1m\n[b]\nsize=1m\n[c]\nsize=1m\nstonewall\n"));
  ASSERT_EQ(loads.size(), 2u);
  EXPECT_EQ(loads[0].jobs.size(), 2u);
  EXPECT_EQ(loads[1].jobs.front().name, "c");
}

TEST(StockFio, IsGivenTheSameJobOnTheSameFiles) {
  const auto read = jobs("[a]\nrw=randwrite\nsize=1g\nbs=8k\nioengine=libaio\niodepth=32\ndirectory=/nowhere\nnumjobs=2\n");
  const Command command = stock_fio_command({{&read[0], 1, {"/t/a.1/a.1.0"}, 0}}, {0, 1}, 5);
  const std::string text = to_text(command);
  for (const char* part : {"--name=a.1", "--rw=randwrite", "--bs=8k", "--ioengine=io_uring", "--iodepth=32",
                           "--filename=/t/a.1/a.1.0", "--offset=0", "--cpus_allowed=0"})
    EXPECT_THAT(text, HasSubstr(part));
  for (const char* part : {"nowhere", "numjobs", "libaio"}) EXPECT_THAT(text, testing::Not(HasSubstr(part)));
}

TEST(StockFio, OutputIsReadAndDamageIsAnError) {
  const auto sum = parse_stock_fio_output(
      R"({"jobs":[{"error":0,"read":{"bw_bytes":1000000},"write":{"bw_bytes":2000000}},{"read":{"bw_bytes":500000}}]})");
  ASSERT_TRUE(sum.ok()) << to_text(sum.failure());
  EXPECT_DOUBLE_EQ(*sum, 3.5);
  for (const char* wrong : {"", "{", "[]", "{\"jobs\":3}", "{\"jobs\":[3]}", "{\"jobs\":[{\"error\":5}]}", "{\"jobs\":[]}"})
    EXPECT_FALSE(parse_stock_fio_output(wrong).ok()) << wrong;
}

}  // namespace
}  // namespace cowbench::harness
