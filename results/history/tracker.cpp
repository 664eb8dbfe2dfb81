// Re-analysing a history after every commit raises ten times the false candidates that one analysis does, however
// strict its threshold; a strict one only finds real changes later. So the threshold is loose, and a candidate costs
// twenty pairs: a false one passes them with a probability of at most 0.0035, whatever the noise of the history was.
#include "results/history/tracker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/base/assert.h"
#include "results/history/bisection.h"

namespace cowbench::history {
namespace {

// A rejected candidate is looked at again when so many commits more are known.
constexpr std::size_t patience = 4;

}  // namespace

// Places among the values.
std::size_t Tracker::after_last_event() const {
  const auto found = std::ranges::lower_bound(measured_, events_.empty() ? 0 : events_.back().at);
  return static_cast<std::size_t>(found - measured_.begin());
}

std::size_t Tracker::era_start() const {
  return static_cast<std::size_t>(std::ranges::lower_bound(measured_, era_) - measured_.begin());
}

void Tracker::add(std::optional<double> log_ratio) {
  const std::size_t commit = commits_++;
  if (!log_ratio || !std::isfinite(*log_ratio)) return;
  measured_.push_back(commit);
  values_.push_back(*log_ratio);
  if (examine_era()) return;
  const std::size_t begin = std::max(after_last_event(), era_start());
  if (values_.size() - begin < options_.values_min) return;
  const auto changes = detect_changes(std::span(values_).subspan(begin), options_.detector);
  for (ChangePoint change : changes) {
    change.at += begin;
    if (examine(change)) return;  // what follows belongs to a history that starts anew
  }
}

bool Tracker::worth_testing(std::size_t at) {
  for (Rejected& rejected : rejected_) {
    const std::size_t distance = at > rejected.at ? at - rejected.at : rejected.at - at;
    if (distance > options_.radius) continue;
    if (rejected.tests >= options_.tests_max || values_.size() < rejected.tip + patience) return false;
    rejected.tip = values_.size();
    ++rejected.tests;
    return true;
  }
  rejected_.push_back({at, values_.size(), 1});
  return true;
}

bool Tracker::examine(const ChangePoint& candidate) {
  if (!worth_testing(candidate.at) || !judge(std::max(after_last_event(), era_start()), candidate.at)) return false;
  std::erase_if(rejected_, [&](const Rejected& rejected) { return rejected.at == candidate.at; });
  return true;
}

// Once, as soon as a few values of the era are known.
bool Tracker::examine_era() {
  const std::size_t begin = era_start();
  return begin > 0 && values_.size() == begin + options_.radius + 1 && judge(after_last_event(), begin);
}

// Compares the ends of what lies around `at`, but nothing before `oldest`. Whether that is an event now.
bool Tracker::judge(std::size_t oldest, std::size_t at) {
  const std::size_t older = std::max(oldest, at > options_.radius ? at - options_.radius : 0);
  const std::size_t newer = std::min(values_.size() - 1, at + options_.radius);
  if (older >= newer) return false;
  const Bracket bracket{measured_[older], measured_[newer]};
  const auto interval = confirm(bracket);
  const auto event = interval ? locate(bracket, *interval) : std::nullopt;
  if (event) events_.push_back(*event);
  return event.has_value();
}

std::optional<results::Interval> Tracker::confirm(const Bracket& bracket) {
  const std::vector<double> differences = measure_(bracket.older, bracket.newer, options_.confirm_pairs);
  if (differences.empty()) return std::nullopt;
  const auto estimate = results::hodges_lehmann(differences, results::Confidence::percent99);
  if (!estimate.interval) return std::nullopt;
  const bool clear = estimate.interval->low > options_.confirm_clearance ||
                     estimate.interval->high < -options_.confirm_clearance;
  return clear ? estimate.interval : std::nullopt;
}

// Each run is a pair with the older end, so that drift cancels here too. Absent when these runs, too, see no difference
// between the ends: what was confirmed was chance.
std::optional<Event> Tracker::locate(const Bracket& bracket, const results::Interval& log_interval) {
  Event event;
  event.ratio_ci99 = {std::exp(log_interval.low), std::exp(log_interval.high)};
  event.effect = std::expm1((log_interval.low + log_interval.high) / 2);
  Bisection bisection(bracket.newer - bracket.older + 1, {},
                      {.effect_min = options_.confirm_clearance, .runs_max = options_.locate_runs_max, .seed = options_.seed});
  for (std::size_t commit = bracket.older + 1; commit < bracket.newer; ++commit) {
    if (!std::ranges::binary_search(measured_, commit)) bisection.skip(commit - bracket.older);
  }
  while (bisection.state() == Bisection::State::running) {
    const std::size_t commit = bisection.next();
    const auto pair = measure_(bracket.older, bracket.older + commit, 1);
    if (pair.empty()) break;
    bisection.observe(commit, pair.front());
  }
  if (bisection.state() != Bisection::State::running && !bisection.ends_differ()) return std::nullopt;
  const std::vector<std::size_t> culprits = bisection.culprits();
  const auto [first, last] = std::ranges::minmax(culprits);
  event.first = bracket.older + first;
  event.last = bracket.older + last;
  event.at = bracket.older + culprits.front();
  return event;
}

std::vector<EventGroup> group_events(std::vector<EventGroup::Member> members) {
  std::ranges::stable_sort(members, {}, [](const auto& member) { return member.event.first; });
  std::vector<EventGroup> groups;
  for (EventGroup::Member& member : members) {
    const bool joins = !groups.empty() && member.event.first <= groups.back().last;
    EventGroup& group = joins ? groups.back() : groups.emplace_back();
    group.first = joins ? std::max(group.first, member.event.first) : member.event.first;
    group.last = joins ? std::min(group.last, member.event.last) : member.event.last;
    group.members.push_back(std::move(member));
  }
  for (EventGroup& group : groups) {
    std::ranges::stable_sort(group.members, std::greater{}, [](const auto& member) { return std::abs(member.event.effect); });
  }
  return groups;
}

std::string title(const EventGroup& group) {
  assert(!group.members.empty());
  const EventGroup::Member& worst = group.members.front();
  return fmt::format("{} series, worst {} {:+.1f}%", group.members.size(), worst.series, 100 * worst.event.effect);
}

void mark_fixed(std::vector<Event>& events, double band) {
  for (std::size_t later = 1; later < events.size(); ++later) {
    Event& before = events[later - 1];
    const double both = (1 + before.effect) * (1 + events[later].effect);
    if (std::abs(both - 1) <= band && before.state == EventState::confirmed) before.state = EventState::fixed;
  }
}

}  // namespace cowbench::history
