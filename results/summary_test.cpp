#include "results/summary.h"

#include <gmock/gmock.h>

#include <cmath>
#include <memory>

namespace cowbench::results {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TargetResult make_target(const char* name, std::vector<double> throughput) {
  TargetResult target;
  target.target = name;
  for (std::size_t i = 0; i < throughput.size(); ++i) {
    Round round;
    round.round = i;
    round.metrics["throughput_mb_s"] = throughput[i];
    target.rounds.push_back(round);
  }
  return target;
}

Comparison make_comparison() {
  Comparison comparison;
  comparison.media = "disk";
  comparison.workload = "synthetic";
  comparison.clients = 8;
  comparison.results = {make_target("cowfs", {600, 620, 590, 640, 610, 605}),
                        make_target("xfs", {100, 103, 98, 106, 102, 101}),
                        make_target("ext4", {90, 91, 92, 93, 94, 95})};
  return comparison;
}

TEST(Summary, FillsMetricsContextAndRatios) {
  Comparison comparison = make_comparison();
  comparison.results[0].integrity = "crc32c";
  summarise(comparison);
  const TargetResult& cowfs = comparison.results[0];
  EXPECT_EQ(cowfs.label, "cowfs (crc32c)");
  EXPECT_EQ(cowfs.media, "disk");
  EXPECT_EQ(cowfs.clients, 8u);
  EXPECT_TRUE(cowfs.subject);
  const MetricSummary& throughput = cowfs.metrics.at("throughput_mb_s");
  EXPECT_EQ(throughput.median, 607.5);
  EXPECT_EQ(throughput.min, 590);
  EXPECT_EQ(throughput.max, 640);
  EXPECT_EQ(throughput.rounds, (std::vector<double>{600, 620, 590, 640, 610, 605}));
  ASSERT_EQ(comparison.ratios.size(), 2u);
  EXPECT_EQ(comparison.ratios[0].denominator, "xfs");
  EXPECT_EQ(comparison.ratios[0].workload, "synthetic");
  EXPECT_EQ(comparison.ratios[0].rounds, 6u);
  EXPECT_NEAR(*comparison.ratios[0].estimate, 6.01, 0.02);
  EXPECT_EQ(comparison.ratios[0].verdict, Verdict::better);
  EXPECT_EQ(comparison.ratios[1].denominator, "ext4");
}

TEST(Summary, IsTheSameWhenRepeatedAndInAnyOrderOfRounds) {
  Comparison once = make_comparison();
  summarise(once);
  Comparison twice = make_comparison();
  std::swap(twice.results[1].rounds[0], twice.results[1].rounds[4]);
  summarise(twice);
  summarise(twice);
  ASSERT_EQ(twice.ratios.size(), once.ratios.size());
  EXPECT_EQ(*twice.ratios[0].estimate, *once.ratios[0].estimate);
  EXPECT_EQ(twice.ratios[0].ci95, once.ratios[0].ci95);
}

TEST(Summary, EverySubjectIsComparedWithEveryOtherButNotWithSubjects) {
  Comparison comparison = make_comparison();
  comparison.results[0].subject = comparison.results[2].subject = true;
  summarise(comparison);
  ASSERT_EQ(comparison.ratios.size(), 2u);
  EXPECT_EQ(comparison.ratios[0].numerator, "cowfs");
  EXPECT_EQ(comparison.ratios[1].numerator, "ext4");
  EXPECT_EQ(comparison.ratios[1].denominator, "xfs");
  EXPECT_EQ(comparison.ratios[1].verdict, Verdict::worse);
}

// Two settings of one engine against each other: the first given is the subject.
TEST(Summary, WhenAllAreSubjectsTheFirstIs) {
  Comparison comparison = make_comparison();
  for (TargetResult& result : comparison.results) result.subject = true;
  summarise(comparison);
  EXPECT_EQ(comparison.ratios.size(), 2u);
  EXPECT_FALSE(comparison.results[1].subject);
}

TEST(Summary, RoundsArePairedByNumber) {
  Comparison comparison = make_comparison();
  comparison.results[1].rounds.erase(comparison.results[1].rounds.begin() + 1);  // xfs failed in round 1
  summarise(comparison);
  EXPECT_EQ(comparison.ratios[0].rounds, 5u);
  EXPECT_FALSE(comparison.ratios[0].ci95);
  EXPECT_EQ(comparison.ratios[0].verdict, Verdict::unclear);
  EXPECT_EQ(comparison.ratios[0].rounds_needed, pairs_for_interval_min);
}

TEST(Summary, WhatIsNotFiniteOrNotMeasuredIsAbsent) {
  Comparison comparison = make_comparison();
  for (Round& round : comparison.results[0].rounds) round.metrics["write_amplification"] = std::nan("");
  for (Round& round : comparison.results[1].rounds) round.metrics["write_amplification"] = 2;
  summarise(comparison);
  EXPECT_FALSE(comparison.results[0].metrics.contains("write_amplification"));
  EXPECT_TRUE(comparison.results[1].metrics.contains("write_amplification"));
  EXPECT_EQ(comparison.ratios.size(), 2u);
  Record record;
  record.comparisons.push_back(comparison);
  EXPECT_EQ(to_json(record).find("write_amplification\": null"), std::string::npos);  // and no assertion about NaN
}

TEST(Summary, NothingMeasuredIsNoResult) {
  Comparison comparison;
  summarise(comparison);
  EXPECT_TRUE(comparison.ratios.empty());
  comparison.results.emplace_back();
  summarise(comparison);
  EXPECT_TRUE(comparison.ratios.empty());
}

TEST(Summary, CalibrationComparesOurGeneratorWithTheRealProgram) {
  const TargetResult ours = make_target("xfs", {98, 99, 100, 101, 102, 103});
  const CalibrationRow fair = calibrate(ours, "dbench 4.0", {100, 101, 102, 103, 104, 105}, 0.95);
  EXPECT_TRUE(fair.ok);
  EXPECT_EQ(fair.throughput_mb_s, 102.5);
  EXPECT_NEAR(*fair.ratio->estimate, 0.98, 0.002);
  EXPECT_EQ(fair.ratio->denominator, "dbench 4.0");
  const CalibrationRow unfair = calibrate(ours, "dbench 4.0", {200, 201, 202, 203, 204, 205}, 0.95);
  EXPECT_FALSE(unfair.ok);
  EXPECT_FALSE(unfair.note.empty());
  const CalibrationRow missing = calibrate(ours, "dbench 4.0", {}, 0.95);
  EXPECT_FALSE(missing.ok);
  EXPECT_FALSE(missing.throughput_mb_s);
  EXPECT_EQ(calibration_caveat(fair, "disk"), "");
  EXPECT_THAT(calibration_caveat(unfair, "disk"), AllOf(HasSubstr("on disk"), HasSubstr("0.50 of dbench 4.0"),
                                                        HasSubstr("up to 102% too high")));
  EXPECT_THAT(calibration_caveat(missing, "disk"), HasSubstr("not calibrated"));
}

TEST(Summary, OperationsCarryTheirPercentiles) {
  const auto latencies = std::make_unique<HistogramCounts>();
  for (u64 i = 1; i <= 1000; ++i) latencies->record(i);
  const OperationStatistics flush = summarise_operation("flush", *latencies, 3);
  EXPECT_EQ(flush.count, 1000u);
  EXPECT_EQ(flush.failed, 3u);
  EXPECT_EQ(flush.p50_ns, 500u);
  EXPECT_EQ(flush.p99_ns, 990u);
  EXPECT_EQ(flush.p999_ns, 999u);
  EXPECT_EQ(flush.max_ns, 1000u);
  EXPECT_EQ(flush.percentiles.back().percent, 100);
}

}  // namespace
}  // namespace cowbench::results
