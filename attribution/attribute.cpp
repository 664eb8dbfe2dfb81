#include "attribution/attribute.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "harness/command.h"
#include "tracking/bench.h"

namespace cowbench::attribution {
namespace {

using harness::Action;
using harness::Done;
using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using tracking::Printed;
using tracking::Words;

constexpr cowfs::u32 report_timeout_seconds = 300;

// Where perf keeps its samples until they are counted.
class Scratch {
 public:
  static Outcome<Scratch> make() {
    std::string pattern = std::filesystem::temp_directory_path() / "cowbench-attribute-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) return Failure{FailureKind::failed, pattern + ": cannot be made", ""};
    return Scratch(pattern);
  }
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  std::string samples() const { return path_ + "/perf.data"; }

 private:
  std::string path_;
};

class Attributor {
 public:
  Attributor(const AttributeRequest& request, std::array<tracking::Build, 2> builds)
      : request_(request), suite_(*request.suite), builds_(std::move(builds)), random_(seed_of(request)) {}

  Action count(Attribution& result) {
    std::array<CounterRuns, 2> runs;
    for (u64 pair = 0; pair < request_.pairs; ++pair) {
      const Action done = run_pair([&](std::size_t side, u64 seed) { return run_one(runs[side], side, seed); });
      if (!done) return done;
      ++result.pairs;
      request_.say(fmt::format("pair {} of {}", pair + 1, request_.pairs));
    }
    result.counters = compare_counters(runs[0], runs[1]);
    return Done{};
  }

  Action profile(Attribution& result) {
    const auto scratch = Scratch::make();
    if (!scratch) return scratch.failure();
    std::array<std::vector<Profile>, 2> profiles;
    for (u64 pair = 0; pair < request_.profiles; ++pair) {
      const Action done = run_pair([&](std::size_t side, u64 seed) { return profile_one(profiles[side], side, seed, *scratch); });
      if (!done) return done;
      ++result.profiles;
      request_.say(fmt::format("profile {} of {}", pair + 1, request_.profiles));
    }
    result.functions = compare_functions(profiles[0], profiles[1]);
    for (const Profile& one : profiles[0]) add(result.profile_before, one);
    for (const Profile& one : profiles[1]) add(result.profile_after, one);
    return Done{};
  }

 private:
  // Follows from what is measured, so that it can be repeated.
  static u64 seed_of(const AttributeRequest& request) {
    const auto start = [](const std::string& sha) { return std::strtoull(sha.substr(0, 16).c_str(), nullptr, 16); };
    return start(request.before.sha) ^ start(request.after.sha) << 1;
  }

  Action run_pair(auto&& run) {
    const tracking::RoundOrder order = tracking::draw_round(random_, 2);
    for (const std::size_t side : order.sides) {
      if (const Action done = run(side, order.seed); !done) return done;
    }
    return Done{};
  }

  Action run_one(CounterRuns& runs, std::size_t side, u64 seed) {
    const auto printed = tracking::run_and_read(suite_, suite_.bench, builds_[side].directory, seed);
    if (!printed) return printed.failure();
    for (const auto& [name, values] : *printed) runs[name].push_back(results::median(values));
    return Done{};
  }

  Action profile_one(std::vector<Profile>& profiles, std::size_t side, u64 seed, const Scratch& scratch) {
    Words words{"perf", "record", "-q", "-F", std::to_string(request_.frequency_hz), "-e", "cpu-clock", "-g",
                "-o", scratch.samples(), "--"};
    words.insert(words.end(), suite_.bench.begin(), suite_.bench.end());
    if (const auto ran = tracking::run_and_read(suite_, words, builds_[side].directory, seed); !ran) return ran.failure();
    const auto report = harness::run_checked(harness::NamedCommand{
        {"perf", "report", "--stdio", "-q", "--no-children", "--no-inline", "-i", scratch.samples(), "-g",
         "count,folded,0,caller", "-F", "sample,sym"}, builds_[side].directory, report_timeout_seconds});
    if (!report) return report.failure();
    profiles.push_back(parse_folded(report->output));
    return Done{};
  }

  const AttributeRequest& request_;
  const tracking::Suite& suite_;
  std::array<tracking::Build, 2> builds_;
  cowfs::Random random_;
};

}  // namespace

Outcome<Attribution> attribute(const AttributeRequest& request, tracking::Builds& builds) {
  Attribution result;
  result.suite = request.suite->name;
  result.before = request.before;
  result.after = request.after;
  auto before = builds.get(request.before.sha), after = builds.get(request.after.sha);
  for (const auto* build : {&before, &after})
    if (!*build) return build->failure();
  result.same_build = before->hash == after->hash;
  if (result.same_build) return result;
  Attributor attributor(request, {std::move(*before), std::move(*after)});
  if (const Action counted = attributor.count(result); !counted) return counted.failure();
  if (request.profiles == 0) return result;
  const Action profiled = attributor.profile(result);
  if (profiled.ok()) return result;
  if (profiled.failure().kind == FailureKind::interrupted) return profiled.failure();
  result.warnings.push_back("no profile: " + to_text(profiled.failure()));
  return result;
}

}  // namespace cowbench::attribution
