#include "attribution/profile.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "results/unpaired.h"

namespace cowbench::attribution {
namespace {

constexpr u64 samples_for_test_min = 10;  // of both sides together; fewer say nothing either way
constexpr double expected_in_run_min = 5;  // for the overdispersion, as for any chi-square

bool is_address(std::string_view frame) {
  return frame == "0" || (frame.starts_with("0x") && frame.find_first_not_of("0123456789abcdef", 2) == frame.npos);
}

std::string named_stack(std::string_view stack) {
  std::string named;
  bool unknown = false;
  for_each_frame(stack, [&](std::string_view frame) {
    const bool address = is_address(frame);
    if (address && unknown) return;
    unknown = address;
    if (!named.empty()) named += ';';
    named += address ? "[unknown]" : frame;
  });
  return named;
}

struct Counts {
  std::vector<u64> self, total;  // run by run
};

// By function; `begin`: the place of the first of these runs.
void count_functions(std::span<const Profile> runs, std::size_t begin, std::size_t places,
                     std::map<std::string, Counts, std::less<>>& functions) {
  const auto of = [&](std::string_view name) -> Counts& {
    const auto known = functions.find(name);
    if (known != functions.end()) return known->second;
    return functions.emplace(name, Counts{std::vector<u64>(places), std::vector<u64>(places)}).first->second;
  };
  for (std::size_t run = 0; run < runs.size(); ++run) {
    for (const auto& [stack, samples] : runs[run].stacks) {
      std::set<std::string_view> met;  // a function that calls itself is one
      std::string_view innermost;
      for_each_frame(stack, [&](std::string_view frame) {
        if (met.insert(frame).second) of(frame).total[begin + run] += samples;
        innermost = frame;
      });
      of(innermost).self[begin + run] += samples;
    }
  }
}

struct Side {
  std::span<const Profile> runs;
  std::size_t begin = 0;
  u64 samples = 0;

  double share(const std::vector<u64>& counts) const {
    u64 sum = 0;
    for (std::size_t run = 0; run < runs.size(); ++run) sum += counts[begin + run];
    return samples == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(samples);
  }
  // Adds Pearson's chi-square of the counts of these runs around their common share, and its degrees of freedom.
  void add_dispersion(const std::vector<u64>& counts, double& chi_square, double& freedom) const {
    const double common = share(counts);
    if (runs.size() < 2 || common * static_cast<double>(samples) < expected_in_run_min * static_cast<double>(runs.size())) return;
    for (std::size_t run = 0; run < runs.size(); ++run) {
      const double expected = common * static_cast<double>(runs[run].samples);
      if (expected == 0) continue;
      const double distance = static_cast<double>(counts[begin + run]) - expected;
      chi_square += distance * distance / (expected * std::max(1 - common, 1e-9));
    }
    freedom += static_cast<double>(runs.size() - 1);
  }
};

Side side_of(std::span<const Profile> runs, std::size_t begin) {
  Side side{runs, begin, 0};
  for (const Profile& run : runs) side.samples += run.samples;
  return side;
}

double overdispersion(const std::map<std::string, Counts, std::less<>>& functions, const Side& before, const Side& after) {
  double chi_square = 0, freedom = 0;
  for (const auto& [name, counts] : functions) {
    before.add_dispersion(counts.self, chi_square, freedom);
    after.add_dispersion(counts.self, chi_square, freedom);
  }
  return freedom == 0 ? 1 : std::max(1.0, chi_square / freedom);
}

void mark_moved(std::vector<FunctionChange>& changes, const std::vector<std::size_t>& tested) {
  std::vector<double> chances;
  for (const std::size_t at : tested)
    chances.push_back(std::erfc(std::abs(changes[at].self_change()) / changes[at].self_error / std::sqrt(2)));
  const std::vector<bool> stand = results::discoveries(chances);
  for (std::size_t place = 0; place < tested.size(); ++place) changes[tested[place]].moved = stand[place];
}

}  // namespace

Profile parse_folded(std::string_view printed) {
  Profile profile;
  while (!printed.empty()) {
    const std::string_view line = printed.substr(0, printed.find('\n'));
    printed.remove_prefix(std::min(printed.size(), line.size() + 1));
    u64 samples = 0;
    const auto [rest, problem] = std::from_chars(line.data(), line.data() + line.size(), samples);
    const std::string_view stack = line.substr(static_cast<std::size_t>(rest - line.data()));
    if (problem != std::errc{} || stack.size() < 2 || stack.front() != ' ') continue;
    profile.stacks[named_stack(stack.substr(1))] += samples;
    profile.samples += samples;
  }
  return profile;
}

void add(Profile& sum, const Profile& more) {
  for (const auto& [stack, samples] : more.stacks) sum.stacks[stack] += samples;
  sum.samples += more.samples;
}

std::vector<FunctionChange> compare_functions(std::span<const Profile> before, std::span<const Profile> after) {
  std::map<std::string, Counts, std::less<>> functions;
  const std::size_t places = before.size() + after.size();
  count_functions(before, 0, places, functions);
  count_functions(after, before.size(), places, functions);
  const Side old_side = side_of(before, 0), new_side = side_of(after, before.size());
  if (old_side.samples == 0 || new_side.samples == 0) return {};
  const double dispersion = overdispersion(functions, old_side, new_side);
  const auto olds = static_cast<double>(old_side.samples), news = static_cast<double>(new_side.samples);

  std::vector<FunctionChange> changes;
  std::vector<std::size_t> tested;
  for (const auto& [name, counts] : functions) {
    FunctionChange change{name, old_side.share(counts.self), new_side.share(counts.self),
                          old_side.share(counts.total), new_side.share(counts.total), 0, false};
    const double met = change.self_before * olds + change.self_after * news, share = met / (olds + news);
    change.self_error = std::sqrt(dispersion * share * (1 - share) * (1 / olds + 1 / news));
    if (met >= samples_for_test_min && change.self_error > 0) tested.push_back(changes.size());
    changes.push_back(std::move(change));
  }
  mark_moved(changes, tested);
  std::ranges::stable_sort(changes, [](const FunctionChange& a, const FunctionChange& b) {
    if (a.moved != b.moved) return a.moved;
    return std::abs(a.self_change()) > std::abs(b.self_change());
  });
  return changes;
}

}  // namespace cowbench::attribution
