#include "attribution/counters.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "results/unpaired.h"

namespace cowbench::attribution {
namespace {

bool is_constant(const std::vector<double>& values) {
  return std::ranges::adjacent_find(values, std::not_equal_to{}) == values.end();
}

double size_of_change(const CounterChange& change) {
  if (change.difference == 0) return 0;
  return change.before == 0 ? std::numeric_limits<double>::infinity() : std::abs(change.difference / change.before);
}

}  // namespace

std::vector<CounterChange> compare_counters(const CounterRuns& before, const CounterRuns& after) {
  std::vector<CounterChange> changes;
  std::vector<double> chances;
  std::vector<std::size_t> tested;
  std::size_t runs = 0;
  for (const auto& [name, values] : before) runs = std::max(runs, values.size());
  for (const auto& [name, olds] : before) {
    const auto found = after.find(name);
    if (found == after.end() || olds.size() != runs || found->second.size() != runs) continue;
    const std::vector<double>& news = found->second;
    std::vector<double> differences;
    for (std::size_t run = 0; run < runs; ++run) differences.push_back(news[run] - olds[run]);
    CounterChange change;
    change.name = name;
    change.before = results::median(olds);
    change.after = results::median(news);
    const results::Estimate estimate = results::hodges_lehmann(differences);
    change.difference = estimate.value;
    change.exact = runs > 1 && is_constant(olds) && is_constant(news);
    if (change.exact) {
      change.moved = change.difference != 0;
    } else {
      change.ci95 = estimate.interval;
      tested.push_back(changes.size());
      chances.push_back(results::signed_rank_p(differences));
    }
    changes.push_back(std::move(change));
  }
  const std::vector<bool> stand = results::discoveries(chances);
  for (std::size_t place = 0; place < tested.size(); ++place) changes[tested[place]].moved = stand[place];
  std::ranges::stable_sort(changes, [](const CounterChange& a, const CounterChange& b) {
    if (a.moved != b.moved) return a.moved;
    if (a.exact != b.exact) return a.exact;
    return size_of_change(a) > size_of_change(b);
  });
  return changes;
}

}  // namespace cowbench::attribution
