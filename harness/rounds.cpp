// A Williams square: row r of the k-by-k square is the zigzag 0, 1, k-1, 2, k-2, ... with r added to each entry, modulo
// k. Each target then stands once in each column, and for even k follows each other target once; for odd k the mirrored
// rows make up for it. Targets are relabelled and rows shuffled by the seed, anew for each block.
#include "harness/rounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/base/random.h"
#include "results/statistics.h"

namespace cowbench::harness {
namespace {

std::vector<u32> shuffled(u32 count, cowfs::Random& random) {
  std::vector<u32> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0u);
  for (u32 at = count; at > 1; --at) std::swap(numbers[at - 1], numbers[random.below(at)]);
  return numbers;
}

std::vector<u32> zigzag(u32 targets) {
  std::vector<u32> sequence;
  for (u32 at = 0; at < targets; ++at) sequence.push_back(at % 2 == 1 ? (at + 1) / 2 : (targets - at / 2) % targets);
  return sequence;
}

double longest(const std::vector<double>& durations) {
  return durations.empty() ? 0 : *std::ranges::max_element(durations);
}

bool is_narrow(const RoundsRequest& request, const RoundsReport& report) {
  for (u32 target = 0; target < request.targets; ++target) {
    if (target == request.baseline) continue;
    const auto half_width = log_ratio_half_width(report.values[target], report.values[request.baseline]);
    if (!half_width || *half_width > request.stop.half_width_target) return false;
  }
  return request.targets > 1;
}

std::optional<StopReason> reason_to_stop(const RoundsRequest& request, const RoundsReport& report,
                                         double elapsed_seconds, double round_seconds) {
  const StopRule& rule = request.stop;
  const u32 rounds = static_cast<u32>(report.orders.size());
  if (rule.rounds) return rounds >= *rule.rounds ? std::optional(StopReason::fixed_rounds) : std::nullopt;
  if (rounds >= rule.rounds_min && is_narrow(request, report)) return StopReason::narrow;
  if (rounds >= rule.rounds_max) return StopReason::rounds_max;
  // The first round is always begun: no figure at all helps nobody.
  if (rounds > 0 && elapsed_seconds + round_seconds > rule.budget_seconds) return StopReason::budget;
  return {};
}

}  // namespace

u32 rounds_in_block(u32 targets) { return targets % 2 == 0 || targets == 1 ? targets : 2 * targets; }

std::vector<u32> order_of_round(u32 targets, u32 round, u64 seed) {
  assert(targets > 0);
  const u32 block_rounds = rounds_in_block(targets);
  cowfs::Random random(seed + 0x9e3779b97f4a7c15ull * (round / block_rounds + 1));
  const std::vector<u32> labels = shuffled(targets, random);
  const u32 row = shuffled(block_rounds, random)[round % block_rounds];
  std::vector<u32> order = zigzag(targets);
  for (u32& target : order) target = labels[(target + row) % targets];
  if (row >= targets) std::ranges::reverse(order);
  return order;
}

std::string_view to_text(StopReason reason) {
  switch (reason) {
    case StopReason::fixed_rounds: return "as many rounds as asked for";
    case StopReason::narrow: return "the interval is narrow enough";
    case StopReason::budget: return "the time is used up";
    case StopReason::rounds_max: return "the most rounds allowed";
  }
  return "?";
}

std::optional<double> log_ratio_half_width(const std::vector<double>& values, const std::vector<double>& baseline) {
  const auto ratio = results::paired_ratio(values, baseline, results::Direction::higher_is_better);
  if (!ratio || !ratio->interval) return {};
  return (std::log(ratio->interval->high) - std::log(ratio->interval->low)) / 2;
}

Outcome<RoundsReport> run_rounds(const RoundsRequest& request, RoundExecutor& executor) {
  const StopRule& rule = request.stop;
  if (request.targets == 0 || request.baseline >= request.targets)
    return Failure{FailureKind::request, "no target to measure", "name at least one with --target"};
  const u32 rounds_expected = rule.rounds.value_or(std::min(rule.rounds_min, rule.rounds_max));
  if (rounds_expected == 0) return Failure{FailureKind::request, "no round to run", "--rounds must be at least 1"};
  RoundsReport report;
  report.values.resize(request.targets);
  std::vector<double> round_seconds;
  u32 done = 0;
  for (u32 round = 0;; ++round) {
    const double start_seconds = executor.elapsed_seconds();
    if (const auto reason = reason_to_stop(request, report, start_seconds, longest(round_seconds))) {
      report.reason = *reason;
      return report;
    }
    const std::vector<u32> order = order_of_round(request.targets, round, request.seed);
    for (const u32 target : order) {
      const u32 expected = std::max(rounds_expected, round + 1) * request.targets;
      if (request.progress) request.progress(target, round, done, expected);
      auto value = executor.run(target, round);
      if (!value) return value.failure();
      report.values[target].push_back(*value);
      ++done;
    }
    report.orders.push_back(order);
    round_seconds.push_back(executor.elapsed_seconds() - start_seconds);
  }
}

}  // namespace cowbench::harness
