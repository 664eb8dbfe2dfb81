#include "harness/posix_runner.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>

namespace cowbench::harness {
namespace {

using testing::HasSubstr;

workloads::Program parsed(std::string_view text) {
  auto result = workloads::parse_loadfile(text, "test.load");
  if (const auto* error = std::get_if<workloads::LoadfileError>(&result)) ADD_FAILURE() << error->to_text();
  return std::get<workloads::Program>(std::move(result));
}

constexpr std::string_view small_load = R"(NTCreateX "\clients" 0x1 0x2 1 NT_STATUS_OK
Close 1 NT_STATUS_OK
NTCreateX "\clients\client1" 0x1 0x2 1 NT_STATUS_OK
Close 1 NT_STATUS_OK
NTCreateX "\clients\client1\A.TXT" 0x0 0x2 10 NT_STATUS_OK
WriteX 10 0 4096 4096 NT_STATUS_OK
ReadX 10 0 4096 4096 NT_STATUS_OK
LockX 10 0 100 NT_STATUS_OK
UnlockX 10 0 100 NT_STATUS_OK
QUERY_FILE_INFORMATION 10 258 NT_STATUS_OK
Flush 10 NT_STATUS_OK
Close 10 NT_STATUS_OK
FIND_FIRST "\clients\client1\*" 260 1366 1 NT_STATUS_OK
Rename "\clients\client1\A.TXT" "\clients\client1\B.TXT" NT_STATUS_OK
Unlink "\clients\client1\B.TXT" 0 NT_STATUS_OK
)";

class PosixRunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/dev/shm/cowbench-test-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  RunRequest request(const workloads::Program& program, ClientMode mode) {
    RunRequest request;
    request.program = &program;
    request.clients = 3;
    request.seconds = 0.3;
    request.warmup_seconds = 0.06;
    request.mode = mode;
    request.options.directory = directory_;
    return request;
  }
  std::string directory_;
};

TEST_F(PosixRunnerTest, CountsAgreeWithEachOther) {
  const workloads::Program program = parsed(small_load);
  const auto topology = Topology::load();
  ASSERT_TRUE(topology.ok());
  for (const ClientMode mode : {ClientMode::processes, ClientMode::threads}) {
    SCOPED_TRACE(to_text(mode));
    RunRequest wanted = request(program, mode);
    wanted.pins = *plan_pins(*topology, {});
    u32 reports = 0;
    wanted.progress = [&](const RunProgress&) { ++reports; };
    const auto result = run_on_directory(wanted);
    ASSERT_TRUE(result.ok()) << to_text(result.failure());
    EXPECT_GE(reports, 3u);
    EXPECT_NEAR(result->measured_seconds, 0.3, 0.2);
    EXPECT_GE(result->warmup_seconds, 0.06);
    EXPECT_GT(result->throughput_mb_s, 0);
    EXPECT_NEAR(result->throughput_mb_s, static_cast<double>(result->bytes) / 1e6 / result->measured_seconds, 1e-6);
    EXPECT_GT(result->write_bytes, 0u);
    EXPECT_LT(result->write_bytes, result->bytes);
    EXPECT_GT(result->client_system_seconds, 0);
    EXPECT_GT(result->machine_busy_seconds, 0);
    EXPECT_EQ(result->complaints, 0u);
    u64 recorded = 0;
    for (const auto& histogram : result->latency) recorded += histogram.count;
    // Each client may be caught between its two views of the phase once at each end.
    EXPECT_NEAR(static_cast<double>(recorded), static_cast<double>(result->operations), 3 * 2 * 2);
    EXPECT_GT(result->flush_latency().count, 0u);
    u64 by_second = 0;
    for (const SecondSample& second : result->series)
      if (!second.warmup) by_second += std::accumulate(second.latency.begin(), second.latency.end(), u64{0});
    EXPECT_LE(by_second, recorded + 3);  // each client is caught once at the beginning
    EXPECT_GT(by_second, recorded / 2);
    // As dbench, cleaning up removes files and leaves directories.
    for (const auto& left : std::filesystem::recursive_directory_iterator(directory_))
      EXPECT_TRUE(left.is_directory()) << left.path();
    EXPECT_FALSE(result->series.empty());
  }
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // no client is left
}

TEST_F(PosixRunnerTest, WrongResultEndsTheRoundAndSaysWhere) {
  const std::string text = std::string(small_load) + "Unlink \"\\clients\\client1\\NOT-THERE.TXT\" 0 NT_STATUS_OK\n";
  const workloads::Program program = parsed(text);
  for (const ClientMode mode : {ClientMode::processes, ClientMode::threads}) {
    SCOPED_TRACE(to_text(mode));
    const auto result = run_on_directory(request(program, mode));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.failure().kind, FailureKind::mismatch);
    for (const char* part : {"client", "line 16", "unlink", "NOT-THERE.TXT", "No such file"})
      EXPECT_THAT(result.failure().what, HasSubstr(part));
  }
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
}

TEST_F(PosixRunnerTest, VerifiesRandomContents) {
  const workloads::Program program = parsed(small_load);
  RunRequest wanted = request(program, ClientMode::processes);
  wanted.options.verify = true;
  wanted.options.payload = workloads::PayloadKind::random;
  const auto result = run_on_directory(wanted);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_EQ(result->verify_mismatches, 0u);
}

TEST_F(PosixRunnerTest, SyntheticLoadfileRuns) {
  auto read = workloads::read_loadfile(COWBENCH_SYNTHETIC_LOAD);
  ASSERT_TRUE(std::holds_alternative<workloads::Program>(read));
  const auto result = run_on_directory(request(std::get<workloads::Program>(read), ClientMode::processes));
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_GT(result->operations, 0u);
}

TEST_F(PosixRunnerTest, SenselessRequestsAreRefused) {
  const workloads::Program program = parsed(small_load);
  RunRequest none = request(program, ClientMode::processes);
  none.clients = 0;
  EXPECT_EQ(run_on_directory(none).failure().kind, FailureKind::request);
  RunRequest no_time = request(program, ClientMode::processes);
  no_time.seconds = 0;
  EXPECT_EQ(run_on_directory(no_time).failure().kind, FailureKind::request);
}

}  // namespace
}  // namespace cowbench::harness
