#include "results/history/stored_changes.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "results/simulated_noise.h"
#include "results/store/store_fixture.h"

namespace cowbench::history {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// 40 commits; target0 slows down by 10% at commit 25, and the machine is another one from commit 12 on and half as fast.
class StoredChangesTest : public testing::Test {
 protected:
  void SetUp() override {
    cowfs::Random random(1);
    std::vector<store::StoredRun> runs;
    for (u64 commit = 0; commit < 40; ++commit) {
      store::StoredRun& run = runs.emplace_back(store::fixture::make_run(commit));
      run.record.environment.kernel = commit < 12 ? "Linux 6.1" : "Linux 6.2";
      for (results::TargetResult& result : run.record.comparisons[0].results) {
        for (results::Round& round : result.rounds) {
          const double level = (result.target == "target0" && commit >= 25 ? 0.9 : 1) * (commit < 12 ? 1 : 0.5);
          round.metrics = {{"throughput_mb_s", 1000 * level * (1 + 0.01 * results::simulated::normal(random))}};
        }
      }
    }
    auto store = store::Store::open(path_, store::Store::Access::write, reason_);
    ASSERT_TRUE(store.ok() && store->add(runs, reason_).ok()) << reason_;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::vector<StoredHistory> find(const StoredRequest& request) {
    const auto store = store::Store::open(path_, store::Store::Access::read, reason_);
    EXPECT_TRUE(store.ok()) << reason_;
    auto found = find_changes(*store, request, reason_);
    EXPECT_TRUE(found.ok()) << reason_;
    return std::move(*found);
  }

  std::string path_ = "/tmp/cowbench-changes-" + std::to_string(getpid()) + ".db", reason_;
};

TEST_F(StoredChangesTest, AChangeIsFoundAndAnotherMachineIsAnEra) {
  const auto histories = find({});
  ASSERT_THAT(histories, SizeIs(2));
  EXPECT_EQ(histories[0].key.target, "target0");
  EXPECT_THAT(histories[0].eras, ElementsAre(12u));
  ASSERT_THAT(histories[0].changes, SizeIs(1));
  EXPECT_EQ(histories[0].changes[0].at, 25u);
  EXPECT_EQ(histories[0].points[25].commit, store::fixture::make_run(25).record.environment.commit);
  EXPECT_NEAR(histories[0].changes[0].effect, -0.1, 0.02);
  EXPECT_THAT(histories[1].changes, IsEmpty());
}

TEST_F(StoredChangesTest, WithAControlItsOwnSeriesIsLeftOut) {
  const auto histories = find({.control = "target1"});
  ASSERT_THAT(histories, SizeIs(1));
  ASSERT_THAT(histories[0].changes, SizeIs(1));
  EXPECT_EQ(histories[0].changes[0].at, 25u);
  EXPECT_THAT(find({.control = "nobody"})[0].points, IsEmpty());
  EXPECT_THAT(find({.metric = "unknown"}), IsEmpty());
}

// The reference, which says nothing of a commit, becomes slower at commit 20: an era for the suite's own series.
TEST(StoredSuite, ControlsThatMoveApartStartAnEra) {
  cowfs::Random random(2);
  std::vector<store::StoredRun> runs;
  for (u64 commit = 0; commit < 40; ++commit) {
    store::StoredRun& run = runs.emplace_back(store::fixture::make_run(commit));
    results::Comparison& comparison = run.record.comparisons[0];
    comparison.results.resize(3);
    for (std::size_t side = 0; side < 3; ++side) {
      results::TargetResult& result = comparison.results[side];
      result = comparison.results[0];
      result.target = std::array<std::string_view, 3>{"quick", store::control_target, store::reference_target}[side];
      for (results::Round& round : result.rounds)
        round.metrics = {{"throughput_mb_s", (side == 2 && commit >= 20 ? 800 : 1000) * (1 + 0.01 * results::simulated::normal(random))}};
    }
  }
  const std::string path = "/tmp/cowbench-suite-changes-" + std::to_string(getpid()) + ".db";
  std::string reason;
  auto store = store::Store::open(path, store::Store::Access::write, reason);
  ASSERT_TRUE(store.ok() && store->add(runs, reason).ok()) << reason;
  const auto histories = find_changes(*store, {.control = std::string(store::control_target)}, reason);
  std::filesystem::remove(path);
  ASSERT_TRUE(histories.ok()) << reason;
  EXPECT_EQ(histories->front().key.target, "quick");
  EXPECT_THAT(histories->front().eras, ElementsAre(20u));
  EXPECT_THAT(histories->front().changes, IsEmpty());
}

}  // namespace
}  // namespace cowbench::history
