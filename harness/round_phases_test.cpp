#include "harness/round_phases.h"

#include <gtest/gtest.h>

#include <deque>
#include <numeric>

#include "harness/round_record.h"

namespace cowbench::harness {
namespace {

u64 sum(const results::LatencyBuckets& buckets) { return std::accumulate(buckets.begin(), buckets.end(), u64{0}); }

// Two cores with two clients each, which end operations whenever the runner looks whether one of them has died.
class Operations : public ClientGroup {
 public:
  explicit Operations(RoundMemory& memory) : memory_(memory) {
    for (u32 client = 0; client < memory.clients(); ++client) hosts_.emplace_back(memory, client, client / 2);
  }
  Action start() override {
    for (u32 client = 0; client < memory_.clients(); ++client) memory_.slot(client).state = state_ready;
    return Done{};
  }
  std::optional<std::string> died() override {
    const u32 phase = memory_.control().phase;
    if (phase != phase_warmup && phase != phase_measure) return {};
    u64 latency_ns = 100;
    for (CountingHost& host : hosts_) {
      host.stop_requested();
      host.record(OpKind::write, 0, latency_ns, 4096);
      ++ended_[phase == phase_measure][cowfs::latency_bucket(latency_ns)];
      latency_ns *= 30;
    }
    hosts_.front().record_response(latency_kinds_max - 1, 5);
    ++responses_[phase == phase_measure];
    return {};
  }
  void window_ends() override {
    for (CountingHost& host : hosts_) host.stop_requested();
    for (u32 client = 0; client < memory_.clients(); ++client) memory_.slot(client).stop();
  }
  Action end() override { return Done{}; }
  // One commit of 100 bytes each time that it is asked.
  std::optional<EngineProgress> engine_progress() override {
    ++asked_;
    return EngineProgress{asked_, 2 * asked_, 100 * asked_, 0};
  }

  u64 asked() const { return asked_; }
  const results::LatencyBuckets& ended(bool measured) const { return ended_[measured]; }
  u64 responses_measured() const { return responses_[true]; }

 private:
  RoundMemory& memory_;
  std::deque<CountingHost> hosts_;
  results::LatencyBuckets ended_[2]{};
  u64 responses_[2]{};
  u64 asked_ = 0;
};

// Of the four clients of Operations.
RoundRequest short_round() {
  RoundRequest request;
  request.clients = 4;
  request.seconds = 0.1;
  return request;
}

TEST(RoundPhases, LatenciesBySecondAreThoseOfAllCoresAndOfEveryPhase) {
  auto memory = RoundMemory::map(4, 2);
  ASSERT_TRUE(memory.ok()) << to_text(memory.failure());
  Operations clients(**memory);
  RoundRequest request = short_round();
  request.warmup_seconds = 0.05;
  const auto result = run_phases(request, **memory, clients);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());

  results::LatencyBuckets seen[2]{};
  for (const SecondSample& second : result->series)
    for (size_t bucket = 0; bucket < second.latency.size(); ++bucket) seen[!second.warmup][bucket] += second.latency[bucket];
  EXPECT_EQ(seen[false], clients.ended(false));
  EXPECT_EQ(seen[true], clients.ended(true));
  EXPECT_GT(sum(seen[false]), 0u);
  // As many as the histograms hold, which have the measured window alone, and response times too.
  EXPECT_EQ(sum(seen[true]), result->latency[static_cast<size_t>(OpKind::write)].count);
  EXPECT_EQ(clients.responses_measured(), result->latency[latency_kinds_max - 1].count);
}

TEST(RoundPhases, WhatTheEngineDidStandsBesideEachSecondAndInTheProgress) {
  auto memory = RoundMemory::map(4, 2);
  ASSERT_TRUE(memory.ok()) << to_text(memory.failure());
  Operations clients(**memory);
  RoundRequest request = short_round();
  request.warmup_seconds = 0;
  request.warm_until_all_move = false;
  std::vector<RunProgress> reports;
  request.progress = [&](const RunProgress& progress) { reports.push_back(progress); };
  const auto result = run_phases(request, **memory, clients);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());

  u64 commits = 0, checkpoints = 0;
  for (const SecondSample& second : result->series) {
    ASSERT_TRUE(second.engine);
    commits += second.engine->commits;
    checkpoints += second.engine->checkpoints;
  }
  EXPECT_EQ(commits, clients.asked() - 1);
  EXPECT_EQ(checkpoints, 2 * commits);
  const results::Round record = to_record(*result, 0, 0, 1);
  EXPECT_EQ(record.commits_each_second.size(), record.latency_each_second.size());
  EXPECT_EQ(std::reduce(record.checkpoints_each_second.begin(), record.checkpoints_each_second.end()), checkpoints);

  ASSERT_FALSE(reports.empty());
  EXPECT_EQ(reports[0].phase, RunProgress::Phase::measure);
  EXPECT_NEAR(*reports[0].device_write_mb_s * 1e6 * reports[0].elapsed_seconds, 100, 1e-6);  // of the one commit
  EXPECT_EQ(reports[0].device_read_mb_s, 0);
  EXPECT_EQ(reports[0].latency_p99_ns, results::percentile_ns(clients.ended(true), 0.99));
}

}  // namespace
}  // namespace cowbench::harness
