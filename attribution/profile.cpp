#include "attribution/profile.h"

#include <charconv>
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

class Comparison {
 public:
  Comparison(std::span<const Profile> before, std::span<const Profile> after)
      : before_(side_of(before, 0)), after_(side_of(after, before.size())) {
    const std::size_t places = before.size() + after.size();
    count_functions(before, 0, places, functions_);
    count_functions(after, before.size(), places, functions_);
  }

  std::vector<FunctionChange> compare() {
    if (before_.samples == 0 || after_.samples == 0) return {};
    const double dispersion = overdispersion();
    std::vector<FunctionChange> changes;
    for (const auto& [name, counts] : functions_)
      changes.push_back({name, change_of(counts.self, dispersion), change_of(counts.total, dispersion)});
    mark_moved(changes);
    return changes;
  }

 private:
  double overdispersion() const {
    double chi_square = 0, freedom = 0;
    for (const auto& [name, counts] : functions_) {
      before_.add_dispersion(counts.self, chi_square, freedom);
      after_.add_dispersion(counts.self, chi_square, freedom);
    }
    return freedom == 0 ? 1 : std::max(1.0, chi_square / freedom);
  }

  ShareChange change_of(const std::vector<u64>& counts, double dispersion) const {
    const auto olds = static_cast<double>(before_.samples), news = static_cast<double>(after_.samples);
    ShareChange change{before_.share(counts), after_.share(counts), 0, false};
    const double common = (change.before * olds + change.after * news) / (olds + news);
    change.error = std::sqrt(dispersion * common * std::max(1 - common, 0.0) * (1 / olds + 1 / news));
    return change;
  }

  double samples(const ShareChange& change) const {
    return change.before * static_cast<double>(before_.samples) + change.after * static_cast<double>(after_.samples);
  }

  void mark_moved(std::vector<FunctionChange>& changes) const {
    std::vector<ShareChange*> tested;
    std::vector<double> chances;
    for (FunctionChange& function : changes) {
      for (ShareChange* change : {&function.self, &function.total}) {
        if (samples(*change) < samples_for_test_min || change->error == 0) continue;
        tested.push_back(change);
        chances.push_back(std::erfc(std::abs(change->change()) / change->error / std::sqrt(2)));
      }
    }
    const std::vector<bool> stand = results::discoveries(chances);
    for (std::size_t place = 0; place < tested.size(); ++place) tested[place]->moved = stand[place];
  }

  std::map<std::string, Counts, std::less<>> functions_;
  Side before_, after_;
};

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
  std::vector<FunctionChange> changes = Comparison(before, after).compare();
  std::ranges::stable_sort(changes, [](const FunctionChange& a, const FunctionChange& b) {
    if (a.moved() != b.moved()) return a.moved();
    return a.change_max() > b.change_max();
  });
  return changes;
}

}  // namespace cowbench::attribution
