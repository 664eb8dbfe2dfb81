#include "results/versus.h"

#include <gmock/gmock.h>

#include "results/metrics.h"
#include "results/record_fixture.h"
#include "results/simulated_noise.h"
#include "results/summary.h"

namespace cowbench::results {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Each;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* metric = "throughput_mb_s";

// Runs of two targets in ABBA and BAAB blocks on a machine that drifts.
struct Simulation {
  u64 pairs = 20;
  double ratio = 1;  // b / a
  double spread = 0.02, drift = 0.005;
};

Record simulate(const Simulation& simulation, u64 seed) {
  cowfs::Random random(seed);
  simulated::Drift drift(simulation.drift);
  Record record;
  Comparison& comparison = record.comparisons.emplace_back();
  comparison.results.resize(2);
  comparison.results[0].target = "a";
  comparison.results[1].target = "b";
  bool a_first = true;
  for (u64 pair = 0; pair < simulation.pairs; ++pair) {
    a_first = pair % 2 == 0 ? random.one_in(2) : !a_first;
    for (u64 position = 0; position < 2; ++position) {
      const bool is_a = (position == 0) == a_first;
      Round& round = comparison.results[is_a ? 0 : 1].rounds.emplace_back();
      round.round = pair;
      round.position = position;
      const double speed = drift.next(random) * (1 + simulation.spread * simulated::normal(random));
      round.metrics[metric] = 1000 * speed * (is_a ? 1 : simulation.ratio);
    }
  }
  summarise(comparison);
  return record;
}

Finding compare_simulated(const Record& record) {
  const Versus versus = compare_sides({"r", &record, "a"}, {"r", &record, "b"});
  EXPECT_THAT(versus.findings, SizeIs(1));
  EXPECT_TRUE(versus.findings.at(0).paired);
  return versus.findings.at(0);
}

TEST(Versus, EqualTargetsUnderDriftAreRarelyCalledDifferent) {
  constexpr u64 trials = 500;
  u64 different = 0, covered = 0;
  for (u64 seed = 1; seed <= trials; ++seed) {
    const Ratio ratio = compare_simulated(simulate({}, seed)).ratio;
    different += ratio.verdict == Verdict::better || ratio.verdict == Verdict::worse;
    covered += ratio.ci95->low <= 1 && 1 <= ratio.ci95->high;
  }
  RecordProperty("different", std::to_string(different));
  RecordProperty("covered", std::to_string(covered));
  EXPECT_LE(different, trials * 5 / 100);
  EXPECT_GE(covered, trials * 93 / 100);
  EXPECT_LE(covered, trials * 97 / 100);
}

TEST(Versus, ASlowDownOfFivePercentIsFoundWithinThirtyPairs) {
  constexpr u64 trials = 300;
  u64 found = 0;
  for (u64 seed = 1; seed <= trials; ++seed)
    found += compare_simulated(simulate({.pairs = 30, .ratio = 0.95}, seed)).ratio.verdict == Verdict::worse;
  RecordProperty("found", std::to_string(found));
  EXPECT_GE(found, trials * 95 / 100);
}

// The same noise, but first all of a and then all of b, in records of their own: it may be wrong, and says so.
TEST(Versus, RecordsOfTheirOwnAreComparedWithARemark) {
  const Record old = simulate({.ratio = 1}, 1), fresh = simulate({.ratio = 1}, 2);
  const Versus versus = compare_sides({"old", &old, ""}, {"new", &fresh, ""});
  ASSERT_THAT(versus.findings, SizeIs(2));
  for (const Finding& finding : versus.findings) {
    EXPECT_FALSE(finding.paired);
    EXPECT_THAT(finding.remarks, Contains(HasSubstr("not measured in the same rounds")));
    EXPECT_TRUE(finding.ratio.ci95);
    EXPECT_TRUE(finding.p);
  }
}

TEST(Versus, AlwaysTheSameSideFirstIsRemarked) {
  Record record = simulate({}, 1);
  for (TargetResult& result : record.comparisons[0].results)
    for (Round& round : result.rounds) round.position = result.target == "a" ? 0 : 1;
  EXPECT_THAT(compare_simulated(record).remarks, ElementsAre(HasSubstr("ran first")));
  EXPECT_THAT(compare_simulated(simulate({}, 1)).remarks, IsEmpty());
}

TEST(Versus, DifferentPromisesAreRefusedUnlessAskedFor) {
  const Record record = fixture::make_record();
  const Side xfs{"r", &record, "xfs"}, cowfs{"r", &record, "cowfs"};
  const Versus refused = compare_sides(xfs, cowfs);
  EXPECT_THAT(refused.findings, IsEmpty());
  EXPECT_THAT(refused.refused, Each(AllOf(HasSubstr("xfs (metadata crc, barriers)"), HasSubstr("cowfs (crc32c"))));
  const Versus asked = compare_sides(xfs, cowfs, {.different_promises = true});
  EXPECT_THAT(asked.refused, IsEmpty());
  ASSERT_FALSE(asked.findings.empty());
  EXPECT_THAT(asked.findings, Each(Field(&Finding::remarks, Contains(HasSubstr("different promises")))));
  EXPECT_EQ(asked.findings[0].ratio.verdict, Verdict::better);
  EXPECT_NEAR(*asked.findings[0].ratio.estimate, 8.66, 0.3);
}

TEST(Versus, OnlyEqualLoadsMeet) {
  Record old = simulate({}, 1), fresh = simulate({}, 2);
  fresh.comparisons[0].clients = 96;
  summarise(fresh.comparisons[0]);
  EXPECT_THAT(compare_sides({"old", &old, ""}, {"new", &fresh, ""}).findings, IsEmpty());
}

// 40 metrics of equal targets: without the correction about two would be called different, with a narrow band.
TEST(Versus, ManyMetricsDoNotRaiseFalseAlarms) {
  u64 alarms = 0, raw = 0;
  for (u64 seed = 1; seed <= 50; ++seed) {
    Record record = simulate({.drift = 0}, seed);
    cowfs::Random random(seed + 1000);
    for (TargetResult& result : record.comparisons[0].results)
      for (Round& round : result.rounds)
        for (const MetricDescription& described : metric_table())
          if (described.compared) round.metrics[std::string(described.name)] = 1 + 0.02 * simulated::normal(random);
    summarise(record.comparisons[0]);
    const Versus versus = compare_sides({"r", &record, "a"}, {"r", &record, "b"}, {.band = 1e-9});
    for (const Finding& finding : versus.findings) {
      alarms += finding.ratio.verdict == Verdict::better || finding.ratio.verdict == Verdict::worse;
      raw += finding.p < 0.05;
    }
  }
  EXPECT_GE(raw, 8u);
  EXPECT_LE(alarms, 5u);
}

}  // namespace
}  // namespace cowbench::results
