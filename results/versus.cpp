#include "results/versus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "results/metrics.h"
#include "results/summary.h"
#include "results/unpaired.h"

namespace cowbench::results {
namespace {

constexpr double discovery_share = 0.05;
constexpr u64 resampling_seed = 20261127;  // any: the same records always give the same interval

std::vector<const TargetResult*> results_of(const Side& side) {
  std::vector<const TargetResult*> results;
  for (const Comparison& comparison : side.record->comparisons) {
    for (const TargetResult& result : comparison.results) {
      if (side.target.empty() || result.target == side.target) results.push_back(&result);
    }
  }
  return results;
}

bool share_rounds(const Record& record, const TargetResult& a, const TargetResult& b) {
  for (const Comparison& comparison : record.comparisons) {
    const auto in = [&](const TargetResult& result) {
      return std::ranges::any_of(comparison.results, [&](const TargetResult& other) { return &other == &result; });
    };
    if (in(a) && in(b)) return true;
  }
  return false;
}

// Pairs cancel drift only when neither side always comes first.
bool balanced(const TargetResult& a, const TargetResult& b) {
  u64 pairs = 0, a_first = 0;
  for (const Round& round : a.rounds) {
    const auto other = std::ranges::find(b.rounds, round.round, &Round::round);
    if (other == b.rounds.end()) continue;
    ++pairs;
    if (round.position < other->position) ++a_first;
  }
  return pairs < pairs_for_interval_min || (4 * a_first >= pairs && 4 * a_first <= 3 * pairs);
}

std::vector<double> differences_of(const std::string& metric, const TargetResult& above, const TargetResult& below) {
  std::vector<double> differences;
  for (const Round& round : above.rounds) {
    const auto other = std::ranges::find(below.rounds, round.round, &Round::round);
    if (other == below.rounds.end() || !round.metrics.contains(metric) || !other->metrics.contains(metric)) continue;
    const double difference = std::log(round.metrics.at(metric)) - std::log(other->metrics.at(metric));
    if (std::isfinite(difference)) differences.push_back(difference);
  }
  return differences;
}

Finding compare_pairs(const std::string& metric, const TargetResult& a, const TargetResult& b, double band) {
  Finding finding{compare(metric, b, a, band), true, std::nullopt, {}};
  if (const auto differences = differences_of(metric, b, a); !differences.empty()) finding.p = signed_rank_p(differences);
  if (!balanced(a, b)) finding.remarks.push_back("one side nearly always ran first: drift within a round counts as change");
  return finding;
}

Finding compare_apart(const MetricDescription& metric, const TargetResult& a, const TargetResult& b, double band) {
  const std::string name(metric.name);
  Finding finding;
  Ratio& ratio = finding.ratio;
  ratio = ratio_of(name, b, a, band);
  const auto &above = b.metrics.at(name).rounds, &below = a.metrics.at(name).rounds;
  ratio.rounds = std::min(above.size(), below.size());
  if (const auto unpaired = unpaired_ratio(above, below, metric.direction, band, resampling_seed)) {
    ratio.estimate = unpaired->estimate;
    ratio.ci95 = unpaired->interval;
    ratio.verdict = unpaired->verdict;
    finding.p = unpaired->p;
  }
  finding.remarks.push_back("not measured in the same rounds: drift of the machine counts as change");
  return finding;
}

void keep_discoveries(std::vector<Finding>& findings) {
  std::vector<double> p;
  for (const Finding& finding : findings) p.push_back(finding.p.value_or(1));
  const std::vector<bool> stands = discoveries(p, discovery_share);
  for (std::size_t at = 0; at < findings.size(); ++at) {
    Verdict& verdict = findings[at].ratio.verdict;
    const bool change = verdict == Verdict::better || verdict == Verdict::worse;
    if (!change || stands[at]) continue;
    verdict = Verdict::unclear;
    findings[at].remarks.push_back(fmt::format("among {} metrics, chance explains one like this", findings.size()));
  }
}

}  // namespace

Versus compare_sides(const Side& a, const Side& b, const VersusOptions& options) {
  Versus versus;
  for (const TargetResult* old : results_of(a)) {
    for (const TargetResult* fresh : results_of(b)) {
      const bool same_load = old->media == fresh->media && old->workload == fresh->workload && old->clients == fresh->clients;
      const bool meant = old->target == fresh->target || (!a.target.empty() && !b.target.empty());
      if (!same_load || !meant || old == fresh) continue;
      const bool same_promise = old->integrity == fresh->integrity;
      if (!same_promise && !options.different_promises) {
        versus.refused.push_back(old->label + " and " + fresh->label);
        continue;
      }
      const bool paired = a.record == b.record && share_rounds(*a.record, *old, *fresh);
      for (const MetricDescription& metric : metric_table()) {
        const std::string name(metric.name);
        if (!metric.compared || !old->metrics.contains(name) || !fresh->metrics.contains(name)) continue;
        Finding finding = paired ? compare_pairs(name, *old, *fresh, options.band)
                                 : compare_apart(metric, *old, *fresh, options.band);
        if (!same_promise) finding.remarks.push_back("different promises: " + old->label + " against " + fresh->label);
        versus.findings.push_back(std::move(finding));
      }
    }
  }
  keep_discoveries(versus.findings);
  return versus;
}

}  // namespace cowbench::results
