// First all commits, then the judgement, which replays them one by one: so it is the same whether the range was
// measured in one go, or grew by a commit a day.
#include "tracking/track.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace cowbench::tracking {
namespace {

using harness::Action;
using harness::Done;
using harness::Failure;
using harness::FailureKind;
using harness::Outcome;

constexpr std::array<std::string_view, 4> state_names{"measured", "same build", "not built", "not run"};

bool is_worse(results::Direction direction, double effect) {
  return direction == results::Direction::higher_is_better ? effect < 0 : effect > 0;
}

bool prints(const TrackedCommit& commit, const std::string& metric) { return commit.session.subject.contains(metric); }

// Numbers the commits anew for the tracker, as places: equal builds are one, and what cannot be measured stays a suspect.
class Judge {
 public:
  Judge(const TrackRequest& request, TrackReport& report, Measurements& measurements)
      : request_(request), report_(report), measurements_(measurements) {
    for (std::size_t at = 0; at < report.commits.size(); ++at) {
      if (report.commits[at].state != CommitState::same_build) places_.push_back(at);
    }
  }

  Action judge(const SuiteMetric& metric) {
    if (std::ranges::none_of(report_.commits, [&](const auto& commit) { return prints(commit, metric.name); }))
      return Failure{FailureKind::missing, "no commit of the range prints " + metric.name, "is that its name?"};
    TrackedSeries& series = report_.series.emplace_back(metric, metric.exact && repeats_exactly(metric.name));
    warn_of_gaps(series);
    if (metric.exact && !series.exact)
      report_.warnings.push_back(fmt::format("{} is not exact: runs of one build differ", metric.name));
    if (series.exact) {
      find_exact_changes(series);
      return Done{};
    }
    return find_events(series);
  }

 private:
  const TrackedCommit& at(std::size_t place) const { return report_.commits[places_[place]]; }
  std::string label(std::size_t place) const { return at(place).commit.sha.substr(0, 10); }

  // A metric that is newer than the first commits, or older than the last.
  void warn_of_gaps(const TrackedSeries& series) {
    const std::string& metric = series.metric.name;
    const auto without = std::ranges::count_if(report_.commits, [&](const TrackedCommit& commit) {
      return commit.state == CommitState::measured && !prints(commit, metric);
    });
    if (without > 0) report_.warnings.push_back(fmt::format("{} of the commits that were measured do not print {}", without, metric));
    const bool has_control = std::ranges::any_of(
        report_.commits, [&](const TrackedCommit& commit) { return commit.session.control.contains(metric); });
    if (!series.exact && !has_control)
      report_.warnings.push_back(fmt::format("{} is not judged: the control does not print it", metric));
  }

  bool repeats_exactly(const std::string& metric) const {
    return std::ranges::all_of(report_.commits, [&](const TrackedCommit& commit) {
      const auto values = commit.session.subject.find(metric);
      return values == commit.session.subject.end() ||
             std::ranges::adjacent_find(values->second, std::not_equal_to{}) == values->second.end();
    });
  }

  void find_exact_changes(TrackedSeries& series) {
    std::optional<std::size_t> last;
    for (std::size_t place = 0; place < places_.size(); ++place) {
      if (!prints(at(place), series.metric.name)) continue;
      const double after = at(place).session.subject.at(series.metric.name).front();
      if (last) {
        const double before = at(*last).session.subject.at(series.metric.name).front();
        const bool is_machine = request_.suite->has_frozen_build() &&
                                frozen_build_changed(at(*last).session, at(place).session, series.metric.name);
        if (after != before && !is_machine)
          series.events.push_back(exact_event(series.metric, *last, place, before, after));
      }
      last = place;
    }
  }

  TrackedEvent exact_event(const SuiteMetric& metric, std::size_t last, std::size_t place, double before,
                           double after) const {
    TrackedEvent found;
    const double ratio = before == 0 ? 2 : after / before;  // from nothing to something: as if doubled
    found.event.first = places_[last + 1];
    found.event.last = found.event.at = places_[place];
    found.event.effect = ratio - 1;
    found.event.ratio_ci99 = {ratio, ratio};
    found.before = before;
    found.after = after;
    found.worse = is_worse(metric.direction, after - before);
    return found;
  }

  Action find_events(TrackedSeries& series) {
    const std::string& metric = series.metric.name;
    std::optional<Failure> broken;
    const auto measure = [&](std::size_t older, std::size_t newer, u64 pairs) -> std::vector<double> {
      if (broken) return {};
      if (pairs > 1) request_.say(fmt::format("{}: {} pairs of {} and {}", metric, pairs, label(older), label(newer)));
      auto logs = measurements_.pairs(at(older).commit.sha, at(newer).commit.sha, pairs, metric);
      if (!logs) {
        if (logs.failure().kind == FailureKind::mismatch)
          report_.warnings.push_back(logs.failure().what);
        else
          broken = logs.failure();
        return {};
      }
      std::erase_if(*logs, [](double value) { return !std::isfinite(value); });
      return std::move(*logs);
    };
    history::Tracker tracker({}, measure);
    for (std::size_t place = 0; place < places_.size() && !broken; ++place) {
      if (std::ranges::find(report_.eras, places_[place], &Era::commit) != report_.eras.end()) tracker.start_era();
      const double value = log_ratio(at(place), metric);
      tracker.add(std::isfinite(value) ? std::optional(value) : std::nullopt);
    }
    if (broken) return *broken;
    std::vector<history::Event> events = tracker.events();
    history::mark_fixed(events);
    for (history::Event& event : events) {
      for (std::size_t* place : {&event.first, &event.last, &event.at}) *place = places_[*place];
      series.events.push_back({event, is_worse(series.metric.direction, event.effect), {}, {}});
    }
    return Done{};
  }

  const TrackRequest& request_;
  TrackReport& report_;
  Measurements& measurements_;
  std::vector<std::size_t> places_;  // of the report's commits
};

// Failures of one commit are noted in it.
Action measure_commit(const TrackRequest& request, Builds& builds, Measurements& measurements,
                      const std::string& build_before, TrackedCommit& tracked) {
  const std::string& sha = tracked.commit.sha;
  const auto build = builds.get(sha);
  if (!build) {
    if (build.failure().kind == FailureKind::interrupted) return build.failure();
    tracked.state = CommitState::not_built;
    tracked.note = build.failure().what;
    return Done{};
  }
  tracked.build = build->hash;
  if (tracked.build == build_before) {
    tracked.state = CommitState::same_build;
    return Done{};
  }
  auto session = measurements.session(sha, request.runs);
  if (session) {
    tracked.session = std::move(*session);
    return Done{};
  }
  if (session.failure().kind != FailureKind::mismatch) return session.failure();
  tracked.state = CommitState::not_run;
  tracked.note = session.failure().what;
  return Done{};
}

std::vector<const Session*> sessions_of(const TrackReport& report) {
  std::vector<const Session*> sessions;
  for (const TrackedCommit& commit : report.commits)
    sessions.push_back(commit.state == CommitState::measured ? &commit.session : nullptr);
  return sessions;
}

void group_events(TrackReport& report) {
  std::vector<history::EventGroup::Member> members;
  for (const TrackedSeries& series : report.series)
    for (const TrackedEvent& found : series.events) members.push_back({series.metric.name, found.event});
  report.groups = history::group_events(std::move(members));
}

}  // namespace

double log_ratio(const TrackedCommit& commit, const std::string& metric) {
  return log_ratio(commit.session.subject, commit.session.control, metric);
}

std::string_view name(CommitState state) { return state_names[static_cast<std::size_t>(state)]; }

Outcome<TrackReport> track(const TrackRequest& request, Builds& builds, Measurements& measurements) {
  TrackReport report;
  report.suite = request.suite->name;
  std::string build_before;
  for (const Commit& commit : request.commits) {
    TrackedCommit& tracked = report.commits.emplace_back();
    tracked.commit = commit;
    const std::string place = fmt::format("{}/{} {} {}", report.commits.size(), request.commits.size(),
                                          commit.sha.substr(0, 10), commit.subject);
    request.say(place);
    if (const Action done = measure_commit(request, builds, measurements, build_before, tracked); !done)
      return done.failure();
    if (tracked.state != CommitState::measured)
      request.say(fmt::format("{}: {}{}{}", place, name(tracked.state), tracked.note.empty() ? "" : ": ", tracked.note));
    for (const SuiteMetric& metric : request.suite->metrics)
      if (tracked.state == CommitState::measured && !prints(tracked, metric.name))
        request.say(fmt::format("{}: does not print {}", place, metric.name));
    if (!tracked.build.empty()) build_before = tracked.build;
  }
  if (std::ranges::find(report.commits, CommitState::measured, &TrackedCommit::state) == report.commits.end())
    return Failure{FailureKind::missing, "no commit of the range could be measured: " + report.commits.back().note, ""};
  report.eras = find_eras(sessions_of(report), *request.suite);
  Judge judge(request, report, measurements);
  for (const SuiteMetric& metric : request.suite->metrics) {
    if (const Action judged = judge.judge(metric); !judged) return judged.failure();
  }
  group_events(report);
  report.runs = measurements.runs_made();
  return report;
}

bool any_worse(const TrackReport& report) {
  return std::ranges::any_of(report.series, [](const TrackedSeries& series) {
    return std::ranges::any_of(series.events, [](const TrackedEvent& found) {
      return found.worse && found.event.state == history::EventState::confirmed;
    });
  });
}

}  // namespace cowbench::tracking
