// From raw rounds to what a record states about them. Pure functions.
#pragma once
#include <string>
#include <vector>

#include "results/record.h"

namespace cowbench::results {

// Precondition: `values` is not empty and finite.
MetricSummary summarise(std::vector<double> values);

OperationStatistics summarise_operation(std::string name, const HistogramCounts& latencies, u64 failed);

// A ratio that is still to be estimated: names, context (media, workload, clients: the numerator's), band.
Ratio ratio_of(const std::string& metric, const TargetResult& numerator, const TargetResult& denominator, double band);

// Numerator over denominator of one metric, from the rounds that both have. Context (media, workload, clients) is the
// numerator's. Without a common round that has both values, the estimate is absent and the verdict unclear.
// Precondition: `metric` is in metric_table().
Ratio compare(const std::string& metric, const TargetResult& numerator, const TargetResult& denominator,
              double band = band_default);

// Fills in, from the rounds of each result: its context, label, metric summaries, and the ratios of every subject to
// every other target for the compared metrics, throughput first. When none or all are marked as subject, the first one
// alone is; two subjects are not compared with each other. Replaces what was there; operations and calibration stay.
void summarise(Comparison& comparison, double band = band_default);
void summarise(Record& record);  // each of its comparisons

// What the comparison is about: throughput, or operations when its load moves no bytes.
std::string_view main_metric(const Comparison& comparison);

// A reference program measured in the same rounds as `ours` on the same target: medians, the ratio ours / reference,
// and whether its estimate reaches `floor`. A missing estimate is not ok.
CalibrationRow calibrate(const TargetResult& ours, std::string reference, std::vector<double> throughput_mb_s_rounds,
                         double floor);

// What a reader must know before any ratio to the row's target; empty when the row is fine.
std::string calibration_caveat(const CalibrationRow& row, const std::string& media);

}  // namespace cowbench::results
