// In the store a session is a run with results of the suite's name, "control" and, for suites with two controls,
// "reference"; a pair of commits is one with the suite's name (the newer) and "older". Pairs are fresh evidence about one change, so their series are of a media
// of their own, which nobody takes for a history.
#include "tracking/measurements.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <tuple>

#include "harness/command.h"

namespace cowbench::tracking {
namespace {

using harness::Action;
using harness::Done;
using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using store::SeriesKey;
using store::SeriesPoint;
using Clock = std::chrono::steady_clock;

constexpr std::string_view session_media = "session";
constexpr std::string_view older_target = "older";

// Names a commit in a series' workload.
std::string short_sha(const std::string& sha) { return sha.substr(0, 12); }

std::string pair_workload(const std::string& id, const std::string& older) {
  return fmt::format("{} against {}", id, short_sha(older));
}

Failure store_failure(const std::string& reason) {
  return Failure{FailureKind::failed, reason, "what was stored before is kept"};
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double log_of_ratio(double numerator, double denominator) {
  const bool positive = numerator > 0 && denominator > 0;
  return positive ? std::log(numerator / denominator) : std::numeric_limits<double>::quiet_NaN();
}

// Names a metric that a run was asked for, whether it has it or not.
std::string asked_for(const SuiteMetric& metric) { return "metric " + metric.name; }

// What one side printed in some of its runs and not in others is no figure of it.
void keep_what_every_run_has(results::TargetResult& result) {
  std::map<std::string, std::size_t> runs;
  for (const results::Round& round : result.rounds)
    for (const auto& [name, value] : round.metrics) ++runs[name];
  for (const auto& [name, count] : runs) {
    if (count == result.rounds.size()) continue;
    result.notes.push_back(fmt::format("{} was printed in {} of {} runs, and is left out", name, count, result.rounds.size()));
    for (results::Round& round : result.rounds) round.metrics.erase(name);
  }
}

// That of the point's commit, if the point is of its newest run.
Session* session_of(const SeriesPoint& point, std::map<std::string, Session>& sessions) {
  Session& session = sessions[point.commit];
  if (session.run == point.run) return &session;
  if (std::tie(session.started, session.run) > std::tie(point.started, point.run)) return nullptr;
  session = {point.run, point.started, point.fingerprint, {}, {}, {}};
  return &session;
}

// In the order of a run's results.
constexpr std::array parts{&Session::subject, &Session::control, &Session::reference};

Session session_of(const results::Record& record) {
  Session session;
  session.fingerprint = store::fingerprint_of(record.environment);
  const auto& results = record.comparisons.front().results;
  for (std::size_t side = 0; side < results.size(); ++side) {
    for (const results::Round& round : results[side].rounds)
      for (const auto& [name, value] : round.metrics) (session.*parts[side])[name].push_back(value);
  }
  return session;
}

}  // namespace

double log_ratio(const Session::Figures& a, const Session::Figures& b, const std::string& metric) {
  std::vector<double> logs;
  const auto above = a.find(metric), below = b.find(metric);
  if (above == a.end() || below == b.end()) return std::numeric_limits<double>::quiet_NaN();
  for (std::size_t run = 0; run < above->second.size(); ++run)
    logs.push_back(log_of_ratio(above->second[run], below->second[run]));
  return logs.empty() ? std::numeric_limits<double>::quiet_NaN() : results::median(std::move(logs));
}

Measurements::Measurements(const Suite& suite, std::string control_sha, Builds& builds, store::Store& store,
                           results::Environment environment)
    : suite_(suite),
      control_sha_(std::move(control_sha)),
      id_(measured_id(suite, control_sha_)),
      builds_(builds),
      store_(store),
      environment_(std::move(environment)) {
  environment_.dirty = false;  // this and the next are of cowbench itself, which is not what is measured
  environment_.build_type = environment_.compiler = environment_.assertions = "";
}

Outcome<Measurements::Side> Measurements::side(std::string_view target, const std::string& sha) const {
  const auto build = builds_.get(sha);
  if (!build && build.failure().kind == FailureKind::interrupted) return build.failure();
  if (!build) return Failure{FailureKind::mismatch, build.failure().what, ""};
  return Side{std::string(target), sha, build->hash, build->directory, suite_.bench};
}

Outcome<Measurements::Sides> Measurements::session_sides(const std::string& sha) const {
  Sides sides;
  const auto subject = side(suite_.name, sha);
  if (!subject) return subject.failure();
  sides.push_back(*subject);
  if (suite_.has_frozen_build()) {
    const auto frozen = side(store::control_target, control_sha_);
    if (!frozen) return frozen.failure();
    sides.push_back(*frozen);
  }
  if (!suite_.control.empty()) {  // another target, as a rule, of the same program: it runs where the commit's build lies
    const std::string_view target = suite_.has_reference() ? store::reference_target : store::control_target;
    sides.push_back({std::string(target), sha, "", subject->directory, suite_.control});
  }
  return sides;
}

void Measurements::add_result(results::Comparison& comparison, const Side& side) const {
  results::TargetResult& result = comparison.results.emplace_back();
  result.target = side.target;
  result.options = {"commit " + side.sha};
  if (!side.hash.empty()) result.options.push_back("build " + side.hash);
  for (const SuiteMetric& metric : suite_.metrics) result.options.push_back(asked_for(metric));
  set_label(result);
}

Outcome<std::vector<SeriesPoint>> Measurements::stored(std::string_view target, std::string_view media,
                                                       const std::string& workload, const std::string& metric) const {
  std::string reason;
  auto points = store_.read(SeriesKey{std::string(target), "", std::string(media), workload, 0, metric}, reason);
  if (!points) return store_failure(reason);
  return std::move(*points);
}

Outcome<std::map<std::string, Session>> Measurements::load_sessions() const {
  std::map<std::string, Session> sessions;
  const std::array<std::string_view, parts.size()> targets{suite_.name, store::control_target, store::reference_target};
  for (const SuiteMetric& metric : suite_.metrics) {
    for (std::size_t part = 0; part < parts.size(); ++part) {
      const auto points = stored(targets[part], session_media, id_, metric.name);
      if (!points) return points.failure();
      for (const SeriesPoint& point : *points)
        if (Session* session = session_of(point, sessions)) (session->*parts[part])[metric.name] = point.values;
    }
  }
  return sessions;
}

// Whether it has every metric of the suite, or was asked for all and the commit does not print the others.
Outcome<bool> Measurements::is_complete(const Session& session) const {
  if (session.subject.size() == suite_.metrics.size()) return true;
  std::string reason;
  const auto run = store_.load(session.run, reason);
  if (!run) return store_failure(reason);
  const std::vector<std::string>& options = run->record.comparisons.front().results.front().options;
  return std::ranges::all_of(suite_.metrics, [&](const SuiteMetric& metric) {
    return std::ranges::find(options, asked_for(metric)) != options.end();
  });
}

Outcome<Session> Measurements::session(const std::string& sha, u64 runs) {
  if (!sessions_) {
    auto loaded = load_sessions();
    if (!loaded) return loaded.failure();
    sessions_ = std::move(*loaded);
  }
  if (const auto known = sessions_->find(sha); known != sessions_->end()) {
    const auto complete = is_complete(known->second);
    if (!complete) return complete.failure();
    if (*complete) return known->second;
  }
  const auto sides = session_sides(sha);
  if (!sides) return sides.failure();
  auto measured = measure(session_media, id_, *sides, runs, 0);
  if (measured) sessions_->insert_or_assign(sha, *measured);
  return measured;
}

Action Measurements::load_pairs(const std::string& older, const std::string& newer, Taken& taken) const {
  for (const SuiteMetric& metric : suite_.metrics) {
    const std::string workload = pair_workload(id_, older);
    const auto numerator = stored(suite_.name, store::pair_media, workload, metric.name);
    if (!numerator) return numerator.failure();
    const auto denominator = stored(older_target, store::pair_media, workload, metric.name);
    if (!denominator) return denominator.failure();
    std::vector<double>& logs = taken.logs[metric.name];
    for (const SeriesPoint& above : *numerator) {
      const auto below = std::ranges::find(*denominator, above.run, &SeriesPoint::run);
      if (above.commit != newer || below == denominator->end()) continue;
      for (std::size_t run = 0; run < above.values.size(); ++run)
        logs.push_back(log_of_ratio(above.values[run], below->values[run]));
    }
  }
  return Done{};
}

Outcome<std::vector<double>> Measurements::pairs(const std::string& older, const std::string& newer, u64 count,
                                                 const std::string& metric) {
  const auto [entry, fresh] = taken_.try_emplace({older, newer});
  Taken& taken = entry->second;
  if (fresh) {
    if (const Action loaded = load_pairs(older, newer, taken); !loaded) return loaded.failure();
  }
  std::size_t& given = taken.given[metric];
  if (const std::size_t there = taken.logs[metric].size(); there < given + count) {
    const auto numerator = side(suite_.name, newer);
    if (!numerator) return numerator.failure();
    const auto denominator = side(older_target, older);
    if (!denominator) return denominator.failure();
    const auto measured = measure(store::pair_media, pair_workload(id_, older), {*numerator, *denominator},
                                  given + count - there, there);
    if (!measured) return measured.failure();
    for (const auto& [name, values] : measured->subject) {
      const auto below = measured->control.find(name);
      for (std::size_t run = 0; below != measured->control.end() && run < values.size(); ++run)
        taken.logs[name].push_back(log_of_ratio(values[run], below->second[run]));
    }
  }
  if (taken.logs[metric].size() < given + count)
    return Failure{FailureKind::mismatch,
                   fmt::format("{} or {} does not print {}", short_sha(older), short_sha(newer), metric), ""};
  const auto begin = taken.logs[metric].begin() + static_cast<std::ptrdiff_t>(given);
  given += count;
  return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(count));
}

// `earlier`: pairs of the same that there are already. The seed follows from what is measured, so that a history can be
// repeated run by run.
store::StoredRun Measurements::begin_run(std::string_view media, const std::string& workload, const Sides& sides,
                                         u64 earlier) const {
  const auto now = std::chrono::system_clock::now();
  store::StoredRun run;
  run.record.started = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
  run.record.command_line = to_text(harness::NamedCommand{suite_.bench, "", 1});
  const std::string what = fmt::format("{}\n{}\n{}\n{}", workload, sides[0].sha, sides[1].sha, earlier);
  run.record.seed = std::to_string(XXH3_64bits(what.data(), what.size()));
  run.record.environment = environment_;
  run.record.environment.commit = sides[0].sha;
  results::Comparison& comparison = run.record.comparisons.emplace_back();
  comparison.media = media;
  comparison.workload = workload;
  for (const Side& side : sides) add_result(comparison, side);
  return run;
}

// One run of each side, in an order that `random` draws.
Action Measurements::measure_round(const Sides& sides, cowfs::Random& random, results::Comparison& comparison) {
  const RoundOrder order = draw_round(random, sides.size());
  for (std::size_t position = 0; position < sides.size(); ++position) {
    const std::size_t number = order.sides[position];
    const Side& side = sides[number];
    const auto start = Clock::now();
    auto values = run_bench(suite_, side.command, side.directory, order.seed);
    if (!values) return values.failure();
    ++runs_made_;
    results::Round round;
    round.round = comparison.rounds;
    round.position = position;
    round.seed = std::to_string(order.seed);
    round.measured_seconds = seconds_since(start);
    round.metrics = std::move(*values);
    comparison.results[number].rounds.push_back(std::move(round));
  }
  ++comparison.rounds;
  return Done{};
}

Outcome<Session> Measurements::measure(std::string_view media, const std::string& workload, const Sides& sides, u64 count,
                                       u64 earlier) {
  store::StoredRun run = begin_run(media, workload, sides, earlier);
  results::Comparison& comparison = run.record.comparisons.front();
  cowfs::Random random(std::strtoull(run.record.seed.c_str(), nullptr, 10));
  const auto begun = Clock::now();
  Action measured = Done{};
  while (measured && comparison.rounds < count) measured = measure_round(sides, random, comparison);
  for (results::TargetResult& result : comparison.results) keep_what_every_run_has(result);
  run.record.duration_seconds = seconds_since(begun);
  if (!measured) {
    run.status = store::RunStatus::partial;
    run.reason = to_text(measured.failure());
  }
  std::string reason;
  const auto added = store_.add({&run, 1}, reason);
  if (!measured) return measured.failure();
  if (!added) return store_failure(reason);
  Session session = session_of(run.record);
  session.run = added->front().id;
  session.started = run.record.started;
  return session;
}

}  // namespace cowbench::tracking
