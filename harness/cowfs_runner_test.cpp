// Clients on a mounted cowfs, on an image file: no root, no loop device.
#include "harness/cowfs_runner.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "harness/cowfs_target.h"

namespace cowbench::harness {
namespace {

using testing::HasSubstr;

class CowfsRunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/cowbench-cowfs-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    auto ledger = Ledger::open(directory_ + "/state");
    ASSERT_TRUE(ledger.ok()) << to_text(ledger.failure());
    ledger_ = std::move(*ledger);
    MediaRequest request;
    request.size_bytes = 768 * cowfs::mib;
    request.directory = directory_ + "/images";
    request.plain_image = true;
    auto media = Media::attach(*ledger_, request);
    ASSERT_TRUE(media.ok()) << to_text(media.failure());
    media_.emplace(std::move(*media));
    auto topology = Topology::load();
    ASSERT_TRUE(topology.ok());
    auto pins = plan_pins(*topology, {}, 2);
    ASSERT_TRUE(pins.ok());
    pins_ = *pins;
  }
  void TearDown() override {
    if (media_) {
      EXPECT_TRUE(media_->detach().ok());
    }
    ledger_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::unique_ptr<CowfsTargetMount> mounted() {
    const auto options = parse_cowfs_options("node_cache=32M");
    auto mount = std::make_unique<CowfsTargetMount>(*options, pins_, 64 * cowfs::mib, &*media_);
    const Action prepared = mount->prepare();
    EXPECT_TRUE(prepared.ok()) << to_text(prepared.failure());
    return mount;
  }
  static workloads::Program synthetic() {
    auto result = workloads::read_loadfile(COWBENCH_SYNTHETIC_LOAD);
    return std::get<workloads::Program>(std::move(result));
  }
  CowfsRunRequest request(const workloads::Program& program) const {
    CowfsRunRequest request;
    request.program = &program;
    request.clients = 5;
    request.seconds = 0.5;
    request.warmup_seconds = 0.1;
    request.pins = pins_;
    return request;
  }

  std::string directory_;
  std::unique_ptr<Ledger> ledger_;
  std::optional<Media> media_;
  PinPlan pins_;
};

TEST_F(CowfsRunnerTest, SyntheticLoadfileRunsAndCountsAgree) {
  const workloads::Program program = synthetic();
  const auto mount = mounted();
  EXPECT_THAT(mount->integrity(), HasSubstr("crc32c"));
  const auto result = run_on_cowfs(*mount, request(program));
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_GT(result->operations, 100u);
  EXPECT_EQ(result->complaints, 0u);
  EXPECT_GT(result->passes, 0u);
  EXPECT_GT(result->flush_latency().count, 0u);
  ASSERT_TRUE(result->device_moved.has_value());
  EXPECT_GT(result->device_moved->flushes, 0u);
  EXPECT_GT(result->memory_bytes_max.value_or(0), 0u);
  const auto counted = [&](std::string_view name) { return results::engine_activity(result->engine, name); };
  EXPECT_GT(counted("device_flush").count, 0u);
  EXPECT_LE(counted("device_flush").count, result->device_moved->flushes);
  EXPECT_GT(counted("device_write").bytes, 0u);
  EXPECT_LE(counted("device_write").bytes, result->device_moved->write_bytes);
  EXPECT_GT(counted("commit").count, 0u);
  EXPECT_GT(counted("commit").p99_ns.value_or(0), 0u);
  EXPECT_GT(counted("open").count, 0u);
  EXPECT_EQ(counted("copygc").count, 0u);
  const auto finished = mount->finish();
  EXPECT_TRUE(finished.ok()) << to_text(finished.failure());
}

TEST_F(CowfsRunnerTest, VerifiesRandomContentsAndUsesAttributes) {
  const workloads::Program program = synthetic();
  const auto mount = mounted();
  CowfsRunRequest verified = request(program);
  verified.options.payload = workloads::PayloadKind::random;
  verified.options.verify = true;
  verified.options.extended_attributes = true;
  verified.options.sync_directories = true;
  const auto result = run_on_cowfs(*mount, verified);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_EQ(result->verify_mismatches, 0u);
  EXPECT_TRUE(mount->finish().ok());
}

TEST_F(CowfsRunnerTest, AWrongResultEndsTheRoundAndTheMountComesDown) {
  auto parsed = workloads::parse_loadfile("Unlink \"\\clients\\not-there\" 0 NT_STATUS_OK\n", "wrong.load");
  const auto program = std::get<workloads::Program>(std::move(parsed));
  const auto mount = mounted();
  const auto result = run_on_cowfs(*mount, request(program));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.failure().kind, FailureKind::mismatch);
  EXPECT_THAT(result.failure().what, HasSubstr("line 1"));
  EXPECT_TRUE(mount->finish().ok());
}

TEST_F(CowfsRunnerTest, TheChargeCostsSomethingAndChangesNothingElse) {
  const workloads::Program program = synthetic();
  const auto mount = mounted();
  CowfsRunRequest charged = request(program);
  charged.system_call_charge = true;
  const auto result = run_on_cowfs(*mount, charged);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_EQ(result->complaints, 0u);
  EXPECT_TRUE(mount->finish().ok());
}

// One call after the other, from a core: what each returns in the words of system calls.
cowfs::Task<void> exercise(cowfs::Filesystem* filesystem) {
  CowfsTarget<NoCharge> target(*filesystem, false);
  const std::string directory = "/d", file = "/d/file", other = "/d/other";
  FileStat stat;
  EXPECT_EQ(co_await target.stat(file, stat), -ENOENT);
  EXPECT_EQ(co_await target.mkdir(directory, 0700), 0);
  EXPECT_EQ(co_await target.mkdir(directory, 0700), -EEXIST);
  EXPECT_EQ(co_await target.open(directory, O_RDWR, 0), -EISDIR);
  const i64 handle = co_await target.open(file, O_RDWR | O_CREAT, 0600);
  EXPECT_GE(handle, 0);
  std::vector<std::byte> bytes(5000, std::byte{7}), back(8000);
  const ByteSpan from = bytes;
  const MutableByteSpan into = back;
  EXPECT_EQ(co_await target.pwrite(handle, from, 100), 5000);
  EXPECT_EQ(co_await target.pread(handle, into, 0), 5100);
  EXPECT_EQ(back[99], std::byte{0});
  EXPECT_EQ(back[100], std::byte{7});
  EXPECT_EQ(co_await target.fsync(handle), 0);
  EXPECT_EQ(co_await target.fstat(handle, stat), 0);
  EXPECT_EQ(stat.size, 5100u);
  EXPECT_EQ(co_await target.utime(file, 11, 22), 0);
  EXPECT_EQ(co_await target.stat(file, stat), 0);
  EXPECT_EQ(stat.access_seconds, 11);
  EXPECT_EQ(stat.modify_seconds, 22);
  EXPECT_FALSE(stat.is_directory);
  EXPECT_EQ(co_await target.lock(handle, 0, 100), 0);
  EXPECT_EQ(co_await target.unlock(handle, 0, 100), 0);
  EXPECT_EQ(co_await target.close(handle), 0);
  EXPECT_EQ(co_await target.rename(file, other), 0);
  EXPECT_EQ(co_await target.fdatasync_directory(directory), 0);
  EXPECT_EQ(co_await target.statvfs(directory), 0);
  const i64 scan = co_await target.open_directory(directory);
  EXPECT_GE(scan, 0);
  std::vector<std::string> names;
  while (true) {
    const i64 filled = co_await target.read_directory(scan, into);
    EXPECT_GE(filled, 0);
    if (filled <= 0) break;
    DirectoryRecords records(ByteSpan(back).first(static_cast<size_t>(filled)));
    while (const char* name = records.next()) names.emplace_back(name);
  }
  EXPECT_EQ(co_await target.close_directory(scan), 0);
  EXPECT_THAT(names, testing::UnorderedElementsAre(".", "..", "other"));
  EXPECT_EQ(co_await target.rmdir(directory), -ENOTEMPTY);
  EXPECT_EQ(co_await target.unlink(other), 0);
  EXPECT_EQ(co_await target.unlink(other), -ENOENT);
  EXPECT_EQ(co_await target.rmdir(directory), 0);
}

TEST_F(CowfsRunnerTest, CallsReturnWhatSystemCallsWould) {
  cowfs::FormatOptions format;
  format.devices = {media_->device()};
  format.force = true;
  ASSERT_TRUE(cowfs::format_devices(format).ok());
  cowfs::MountOptions options;
  options.devices = {media_->device()};
  options.cache_bytes = 64 * cowfs::mib;
  auto filesystem = cowfs::Filesystem::mount(options);
  ASSERT_TRUE(filesystem.ok()) << cowfs::to_text(filesystem.error());
  cowfs::Filesystem* const raw = filesystem->get();
  raw->run(0, [raw] { return exercise(raw); });
  EXPECT_TRUE(raw->unmount().ok());
}

}  // namespace
}  // namespace cowbench::harness
