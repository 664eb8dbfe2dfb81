#include "tracking/bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "harness/command.h"

namespace cowbench::tracking {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;

// A line of two words, the second a number; others are what programs like to say.
void read_lines(std::string_view printed, Printed& found) {
  while (!printed.empty()) {
    const std::string line(printed.substr(0, printed.find('\n')));
    printed.remove_prefix(std::min(printed.size(), line.size() + 1));
    const std::size_t begin = line.find_first_not_of(" \t"), end = line.find_first_of(" \t", begin);
    if (begin == line.npos || end == line.npos) continue;
    char* rest = nullptr;
    const double value = std::strtod(line.c_str() + end, &rest);
    if (rest == line.c_str() + end || std::string_view(rest).find_first_not_of(" \t\r") != std::string_view::npos)
      continue;
    found[line.substr(begin, end - begin)].push_back(value);
  }
}

void read_round(const results::Round& round, Printed& found) {
  for (const auto& [name, value] : round.metrics) found[name].push_back(value);
  const auto operations = static_cast<double>(std::max<u64>(round.operations, 1));
  for (const results::EngineActivity& activity : round.engine) {
    const auto add = [&](std::string_view what, u64 value) {
      found[fmt::format("engine.{}.{}_per_operation", activity.name, what)].push_back(static_cast<double>(value) / operations);
    };
    add("count", activity.count);
    if (activity.bytes > 0) add("bytes", activity.bytes);
  }
}

std::vector<std::string> names_of(const Suite& suite) {
  std::vector<std::string> names;
  for (const SuiteMetric& metric : suite.metrics) names.push_back(metric.name);
  return names;
}

// What is under test in a record of several targets; all of it otherwise.
void read_record(const results::Record& record, Printed& found) {
  for (const results::Comparison& comparison : record.comparisons) {
    const bool has_subject = std::ranges::any_of(comparison.results, &results::TargetResult::subject);
    for (const results::TargetResult& result : comparison.results) {
      if (has_subject && !result.subject) continue;
      for (const results::Round& round : result.rounds) read_round(round, found);
      for (const results::OperationStatistics& operation : result.operations)
        found[fmt::format("operation.{}.mean_ns", operation.name)].push_back(operation.mean_ns);
    }
  }
}

Outcome<Printed> read_printed(const Suite& suite, std::string_view printed) {
  Printed found;
  if (suite.format) {
    std::string reason;
    const auto runs = exchange::import_runs(printed, *suite.format, {}, reason);
    if (!runs) return Failure{FailureKind::mismatch, "what the bench printed: " + reason, ""};
    for (const store::StoredRun& run : *runs) read_record(run.record, found);
  } else {
    read_lines(printed, found);
  }
  return found;
}

// Runs it and reads what it printed with `read`, whose failures then name the command.
auto run_with(const Suite& suite, const Words& command, const std::string& directory, u64 seed, auto&& read)
    -> decltype(read(std::string_view())) {
  constexpr std::string_view mark = "{seed}";
  harness::NamedCommand run{command, directory, suite.bench_timeout_seconds};
  for (std::string& word : run.words) {
    for (std::size_t at; (at = word.find(mark)) != word.npos;) word.replace(at, mark.size(), std::to_string(seed));
  }
  const auto ran = harness::run_checked(run);
  if (!ran && ran.failure().kind == FailureKind::interrupted) return ran.failure();
  if (!ran) return Failure{FailureKind::mismatch, ran.failure().what, ""};
  auto taken = read(std::string_view(ran->output));
  if (!taken) return Failure{FailureKind::mismatch, to_text(run) + ": " + taken.failure().what, ""};
  return taken;
}

}  // namespace

RoundOrder draw_round(cowfs::Random& random, std::size_t sides) {
  RoundOrder order{std::vector<std::size_t>(sides), 0};
  std::iota(order.sides.begin(), order.sides.end(), 0);
  for (std::size_t left = sides; left > 1; --left) std::swap(order.sides[left - 1], order.sides[random.below(left)]);
  order.seed = random.next() >> 1;  // some programs want a signed seed
  return order;
}

Outcome<Values> values_of(const Suite& suite, std::string_view printed) {
  const auto found = read_printed(suite, printed);
  if (!found) return found.failure();
  Values values;
  for (const SuiteMetric& metric : suite.metrics) {
    const auto taken = found->find(metric.name);
    if (taken == found->end()) continue;
    const double value = results::median(taken->second);
    if (!std::isfinite(value))
      return Failure{FailureKind::mismatch, fmt::format("the bench printed {} {}", metric.name, value), ""};
    values[metric.name] = value;
  }
  if (values.empty())
    return Failure{FailureKind::mismatch, fmt::format("the bench printed no {}", fmt::join(names_of(suite), ", no ")), ""};
  return values;
}

Outcome<Printed> run_and_read(const Suite& suite, const Words& command, const std::string& directory, u64 seed) {
  return run_with(suite, command, directory, seed, [&](std::string_view printed) { return read_printed(suite, printed); });
}

Outcome<Values> run_bench(const Suite& suite, const Words& command, const std::string& directory, u64 seed) {
  return run_with(suite, command, directory, seed, [&](std::string_view printed) { return values_of(suite, printed); });
}

}  // namespace cowbench::tracking
