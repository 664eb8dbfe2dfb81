// Jobs with verify= on a directory, on cowfs, and (with root) on XFS, ext4 and a device: what was written is recognised, and
// what was damaged is named.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "harness/ready_task.h"
#include "harness/test_devices.h"
#include "harness/test_fio.h"
#include "harness/verified_writes.h"

namespace cowbench::harness {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using workloads::FioOp;

class FioVerifyTest : public FioTest {
 protected:
  FioVerifyTest() { image_bytes_ = 256 * cowfs::mib; }
  Outcome<RoundResult> run_on_loop(const FioWorkload& load, const std::string& name,
                                   const std::function<void(KernelTarget&)>& between = [](KernelTarget&) {}) {
    MediaRequest request;
    request.kind = MediaKind::ram;
    request.size_bytes = 400 * cowfs::mib;
    request.directory = directory_ + "/media";
    auto media = Media::attach(*ledger_, request);
    if (!media) return media.failure();
    auto result = run_on_kernel(load, name, &*media, between);
    EXPECT_TRUE(media->detach().ok());
    return result;
  }
};

constexpr std::string_view one_pass = "[a]\nrw=randwrite\nsize=4m\nioengine=io_uring\niodepth=16\n";

void expect_verified(const FioWorkload& load, const Outcome<RoundResult>& result, double blocks) {
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  const auto metrics = load.metrics(*result);
  EXPECT_EQ(metrics.at("verified_blocks"), blocks);
  EXPECT_EQ(metrics.at("verify_mismatches"), 0);
  EXPECT_THAT(result->complaint_texts, testing::IsEmpty());
}

void flip_byte(const std::string& path, u64 offset) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(descriptor, 0) << path;
  u8 byte = 0;
  ASSERT_EQ(pread(descriptor, &byte, 1, static_cast<off_t>(offset)), 1);
  byte ^= 1;
  ASSERT_EQ(pwrite(descriptor, &byte, 1, static_cast<off_t>(offset)), 1);
  close(descriptor);
}

TEST_F(FioVerifyTest, EachMethodRecognisesWhatItWrote) {
  for (const char* method : {"verify=crc32c\ndirect=1\n", "verify=xxhash\n", "verify=meta\nverify_interval=512\n",
                             "verify=pattern\nverify_pattern=0xdeadbeef\"x\"\n"}) {
    SCOPED_TRACE(method);
    const FioWorkload load = workload(std::string(one_pass) + method);
    expect_verified(load, run_on_directory(load), 1024);
    expect_verified(load, run_on_cowfs(load), 1024);
  }
}

// Blocks of several sizes that overwrite each other, at a depth: which of two writes came last is known all the same.
TEST_F(FioVerifyTest, BlocksThatAreWrittenAgainAreExpectedAsTheyWereWrittenLast) {
  const FioWorkload load = workload(
      "[a]\nrw=randrw\nsize=256k\nio_size=16m\nbssplit=4k/50:8k/30:16k/20\nnorandommap\nioengine=io_uring\niodepth=32\n"
      "verify=crc32c\nnumjobs=2\nfsync=16\n");
  for (const auto& result : {run_on_directory(load), run_on_cowfs(load)}) {
    ASSERT_TRUE(result.ok()) << to_text(result.failure());
    EXPECT_GT(load.metrics(*result).at("verified_blocks"), 20);
    EXPECT_EQ(result->verify_mismatches, 0u) << testing::PrintToString(result->complaint_texts);
  }
}

TEST_F(FioVerifyTest, TheMeasuredFiguresAreThoseWithoutReadingBack) {
  const FioWorkload load = workload(std::string(one_pass) + "verify=crc32c\n");
  const auto result = run_on_directory(load);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->bytes, 4 * cowfs::mib);
  EXPECT_EQ(result->write_bytes, 4 * cowfs::mib);
  EXPECT_TRUE(result->latency[static_cast<size_t>(FioLatency::read)].empty());
}

TEST_F(FioVerifyTest, ADamagedByteIsFoundAndNamed) {
  const FioWorkload load = workload(std::string(one_pass) + "verify=crc32c\n");
  const auto on_directory = run_on_directory(load, [](KernelTarget& target) {
    flip_byte(target.directory() + "/a.0/a.0.0", 12388);
    flip_byte(target.directory() + "/a.0/a.0.0", 2 * cowfs::mib);
  });
  ASSERT_TRUE(on_directory.ok()) << to_text(on_directory.failure());
  EXPECT_EQ(on_directory->verify_mismatches, 2u);
  EXPECT_EQ(load.metrics(*on_directory).at("verified_blocks"), 1024);
  EXPECT_THAT(on_directory->complaint_texts,
              ElementsAre(HasSubstr("job a, clone 0, /a.0/a.0.0: at byte 12388: not what was written: expected"),
                          HasSubstr("at byte 2097152: no header")));
  const auto on_cowfs = run_on_cowfs(load, [](CowfsTargetMount& target) {
    target.filesystem().run(0, [&]() -> cowfs::Task<void> {
      const auto handle = co_await target.filesystem().open("/a.0/a.0.0", O_RDWR, 0);
      const std::byte byte{0};
      const ByteSpan one(&byte, 1);
      const auto written = co_await target.filesystem().write(*handle, 12388, one);
      EXPECT_TRUE(written);
      const cowfs::Status closed = co_await target.filesystem().close(*handle);
      EXPECT_TRUE(closed);
    });
  });
  ASSERT_TRUE(on_cowfs.ok()) << to_text(on_cowfs.failure());
  EXPECT_EQ(on_cowfs->verify_mismatches, 1u);
  EXPECT_THAT(on_cowfs->complaint_texts, ElementsAre(HasSubstr("/a.0/a.0.0: at byte 12388: not what was written")));
}

TEST_F(FioVerifyTest, WhatCannotBeReadBackIsAMismatchToo) {
  const FioWorkload load = workload(std::string(one_pass) + "verify=meta\n");
  const auto result = run_on_directory(load, [](KernelTarget& target) {
    ASSERT_EQ(truncate((target.directory() + "/a.0/a.0.0").c_str(), 4 * cowfs::mib - 100), 0);
  });
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_EQ(result->verify_mismatches, 1u);
  EXPECT_THAT(result->complaint_texts, ElementsAre(HasSubstr("3996 of 4096 bytes could be read back")));
}

TEST_F(FioVerifyTest, AFatalMismatchEndsTheRun) {
  const FioWorkload load = workload(std::string(one_pass) + "verify=xxhash\nverify_fatal=1\n");
  const auto result =
      run_on_directory(load, [](KernelTarget& target) { flip_byte(target.directory() + "/a.0/a.0.0", 100); });
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.failure().kind, FailureKind::mismatch);
  EXPECT_THAT(result.failure().what, HasSubstr("/a.0/a.0.0: at byte 100"));
}

TEST_F(FioVerifyTest, ABacklogIsReadBackAsTheJobRuns) {
  struct Case {
    const char* settings;
    double blocks;
  };
  for (const Case& c : {Case{"verify_backlog=64\ndo_verify=0\n", 1024}, Case{"verify_backlog=64\n", 2048},
                        Case{"verify_backlog=64\nverify_backlog_batch=16\ndo_verify=0\n", 256},
                        Case{"verify_backlog=1000000\ndo_verify=0\n", 0}}) {
    SCOPED_TRACE(c.settings);
    const FioWorkload load = workload("[a]\nrw=randwrite\nsize=4m\nverify=crc32c\n" + std::string(c.settings));
    expect_verified(load, run_on_directory(load), c.blocks);
    expect_verified(load, run_on_cowfs(load), c.blocks);
  }
}

TEST_F(FioVerifyTest, FilesystemsOfTheKernelAndDevicesAreMountedAnewAndReadBack) {
  COWBENCH_NEEDS_LOOP();
  const FioWorkload load = workload(std::string(one_pass) + "verify=crc32c\n");
  for (const char* name : {"xfs", "ext4"}) {
    SCOPED_TRACE(name);
    expect_verified(load, run_on_loop(load, name), 1024);
    const auto damaged = run_on_loop(
        load, name, [](KernelTarget& target) { flip_byte(target.directory() + "/a.0/a.0.0", 1'000'000); });
    ASSERT_TRUE(damaged.ok()) << to_text(damaged.failure());
    EXPECT_THAT(damaged->complaint_texts, ElementsAre(HasSubstr("/a.0/a.0.0: at byte 1000000:")));
  }
  expect_verified(load, run_on_loop(load, "raw"), 1024);
  const auto damaged = run_on_loop(load, "raw", [](KernelTarget& target) { flip_byte(target.directory(), 1'000'000); });
  ASSERT_TRUE(damaged.ok()) << to_text(damaged.failure());
  EXPECT_THAT(damaged->complaint_texts, ElementsAre(HasSubstr("at byte 1000000:")));
}

TEST(FioVerify, WritersThatMeetAreRefused) {
  const auto check = [](const std::string& text) { return workload("[global]\nsize=1m\nrw=write\n" + text).check(); };
  EXPECT_TRUE(check("[a]\nverify=meta\nnumjobs=4\n").ok());
  EXPECT_TRUE(check("[a]\nverify=meta\nfilename=x\nfilesize=1m\n[b]\nfilename=x\noffset=1m\nverify=meta\n").ok());
  EXPECT_TRUE(check("[a]\nfilename=x\nnumjobs=2\n").ok());
  EXPECT_TRUE(check("[a]\nverify=meta\nfilename=x\n[b]\nfilename=x\nrw=read\n").ok());
  for (const char* text : {"[a]\nverify=meta\nfilename=x\nnumjobs=2\n", "[a]\nverify=meta\nfilename=x\n[b]\nfilename=x\nrw=trim\n",
                           "[b]\nfilename=x\n[a]\nverify=meta\nfilename=x\noffset=512k\n"}) {
    const Action refused = check(text);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_THAT(to_text(refused.failure()), HasSubstr("/x"));
  }
}

// Three writes to one block are drawn by lanes that are ready in another order.
TEST(VerifiedWrites, WritesThatOverlapAreMadeInTheOrderOfDraws) {
  const auto read = jobs("[a]\nrw=randwrite\nsize=1m\nverify=crc32c\nsync=1\n");
  u64 begun = 0, durable[] = {0};
  VerifiedWrites writes(read.front(), 0, 1, {&begun, durable});
  const auto write = [](u64 offset, u64 number) { return FioOp{FioOp::Kind::write, 0, offset, 4096, number}; };
  const FioOp ops[] = {write(0, 1), write(0, 2), write(8192, 3), write(0, 4)};
  for (const FioOp& op : ops) writes.draw(op);
  EXPECT_EQ(begun, 4u);
  std::vector<u64> made;
  const auto lane = [](VerifiedWrites& all, std::vector<u64>& order, FioOp op) -> internal::Started {
    co_await all.turn(op);
    order.push_back(op.number);
  };
  for (const u64 at : {3, 1, 2, 0}) lane(writes, made, ops[at]);
  EXPECT_THAT(made, ElementsAre(3, 1));
  writes.done(ops[2], true);
  EXPECT_EQ(writes.complete(), 0u);
  writes.done(ops[0], true);
  EXPECT_THAT(made, ElementsAre(3, 1, 2));
  EXPECT_EQ(writes.complete(), 1u);
  EXPECT_EQ(durable[0], 1u);  // sync=1
  writes.done(ops[1], true);
  EXPECT_THAT(made, ElementsAre(3, 1, 2, 4));
  EXPECT_EQ(writes.complete(), 3u);
}

}  // namespace
}  // namespace cowbench::harness
