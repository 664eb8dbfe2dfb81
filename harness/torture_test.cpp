#include "harness/torture.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "engine/engine.h"

namespace cowbench::harness {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class TortureTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/var/tmp/cowbench-test-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    auto ledger = Ledger::open(directory_ + "/state");
    ASSERT_TRUE(ledger.ok());
    ledger_ = std::move(*ledger);
    program_ = std::get<workloads::Program>(workloads::read_loadfile(COWBENCH_SYNTHETIC_LOAD));
    request_.program = &program_;
    request_.rounds = 1;
    request_.clients = 2;
    request_.kill_ms_max = 300;
    request_.media.plain_image = true;
    request_.media.size_bytes = 256 * cowfs::mib;
    request_.media.directory = directory_ + "/media";
    request_.check = [](const std::string&) { return Action(Done{}); };
    request_.progress = [this](const TortureRound& round) { last_ = round; };
  }
  void TearDown() override {
    ledger_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::string directory_;
  std::unique_ptr<Ledger> ledger_;
  workloads::Program program_;
  TortureRequest request_;
  TortureRound last_;
};

TEST_F(TortureTest, RoundsPassAndSayWhatTheyLookedAt) {
  request_.rounds = 4;
  request_.seed = 7;
  const Action done = run_torture(request_, *ledger_);
  ASSERT_TRUE(done.ok()) << to_text(done.failure());
  EXPECT_EQ(last_.number, 4u);
  EXPECT_EQ(last_.seed, 10u);
  EXPECT_GT(last_.operations, 0u);
}

// Or it would prove nothing: here the filesystem loses everything between the kill and the mount.
TEST_F(TortureTest, LostFilesAreFound) {
  request_.rounds = 20;  // the first kill may come before anything was synced
  request_.check = [](const std::string& device) {
    cowfs::FormatOptions format;
    format.devices = {device};
    format.force = true;
    return cowfs::format_devices(format) ? Action(Done{}) : Action(Failure{FailureKind::failed, "format", ""});
  };
  const Action done = run_torture(request_, *ledger_);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.failure().kind, FailureKind::mismatch);
  EXPECT_THAT(done.failure().what, HasSubstr("is missing"));
}

TEST_F(TortureTest, WhatCheckObjectsToFailsTheRound) {
  request_.seed = 12;
  request_.check = [](const std::string&) { return Action(Failure{FailureKind::mismatch, "on purpose", ""}); };
  const Action done = run_torture(request_, *ledger_);
  ASSERT_FALSE(done.ok());
  EXPECT_THAT(done.failure().what, AllOf(HasSubstr("seed 12, life 1"), HasSubstr("on purpose")));
  EXPECT_TRUE(std::filesystem::is_empty(directory_ + "/media"));
}

}  // namespace
}  // namespace cowbench::harness
