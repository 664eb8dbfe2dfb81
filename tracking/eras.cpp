#include "tracking/eras.h"

#include <algorithm>
#include <cmath>

#include "results/history/eras.h"

namespace cowbench::tracking {
namespace {

using Figures = Session::Figures;
using Part = Figures Session::*;

// The sessions of commits that were measured.
struct Measured {
  std::vector<std::size_t> commits;
  std::vector<const Session*> sessions;
};

Measured measured_of(const std::vector<const Session*>& sessions) {
  Measured measured;
  for (std::size_t commit = 0; commit < sessions.size(); ++commit) {
    if (sessions[commit] == nullptr) continue;
    measured.commits.push_back(commit);
    measured.sessions.push_back(sessions[commit]);
  }
  return measured;
}

std::vector<std::size_t> by_fingerprint(const Measured& measured) {
  std::vector<std::string> fingerprints;
  for (const Session* session : measured.sessions) fingerprints.push_back(session->fingerprint);
  return history::fingerprint_eras(fingerprints);
}

std::vector<std::size_t> by_both_controls(const Measured& measured, const std::string& metric) {
  std::vector<std::size_t> places, eras;
  std::vector<double> logs;
  for (std::size_t place = 0; place < measured.sessions.size(); ++place) {
    const double log = log_ratio(measured.sessions[place]->control, measured.sessions[place]->reference, metric);
    if (!std::isfinite(log)) continue;
    places.push_back(place);
    logs.push_back(log);
  }
  for (const std::size_t era : history::control_eras(logs)) eras.push_back(places[era]);
  return eras;
}

bool is_exact(const Figures& figures, const std::string& metric) {
  const auto values = figures.find(metric);
  return values == figures.end() || std::ranges::adjacent_find(values->second, std::not_equal_to{}) == values->second.end();
}

std::vector<std::size_t> by_frozen_build(const Measured& measured, const std::string& metric) {
  std::vector<std::size_t> eras;
  if (std::ranges::any_of(measured.sessions, [&](const Session* session) { return !is_exact(session->control, metric); })) return eras;
  for (std::size_t place = 1; place < measured.sessions.size(); ++place) {
    if (frozen_build_changed(*measured.sessions[place - 1], *measured.sessions[place], metric)) eras.push_back(place);
  }
  return eras;
}

// Median over the sessions from `begin` to `end`; absent where none has a positive one.
std::optional<double> level(const Measured& measured, Part part, const std::string& metric, std::size_t begin, std::size_t end) {
  std::vector<double> medians;
  for (std::size_t place = begin; place < end; ++place) {
    const Figures& figures = measured.sessions[place]->*part;
    if (const auto values = figures.find(metric); values != figures.end()) medians.push_back(results::median(values->second));
  }
  if (medians.empty()) return std::nullopt;
  const double median = results::median(std::move(medians));
  return median > 0 ? std::optional(median) : std::nullopt;
}

}  // namespace

std::string_view name(Era::Cause cause) {
  return cause == Era::Cause::fingerprint ? "another machine or kernel" : "the controls changed";
}

bool frozen_build_changed(const Session& before, const Session& after, const std::string& metric) {
  const auto old_values = before.control.find(metric), new_values = after.control.find(metric);
  if (old_values == before.control.end() || new_values == after.control.end()) return false;
  return is_exact(before.control, metric) && is_exact(after.control, metric) &&
         old_values->second.front() != new_values->second.front();
}

std::vector<Era> find_eras(const std::vector<const Session*>& sessions, const Suite& suite) {
  const Measured measured = measured_of(sessions);
  const std::vector<std::size_t> fingerprints = by_fingerprint(measured);
  std::vector<std::size_t> starts = fingerprints;
  for (const SuiteMetric& metric : suite.metrics) {
    if (!metric.exact)
      starts = history::joined_eras(std::move(starts), by_both_controls(measured, metric.name));
    else if (suite.has_frozen_build())
      starts = history::joined_eras(std::move(starts), by_frozen_build(measured, metric.name));
  }
  std::vector<Era> eras;
  for (std::size_t number = 0; number < starts.size(); ++number) {
    const std::size_t start = starts[number];
    const std::size_t begin = number == 0 ? 0 : starts[number - 1];
    const std::size_t end = number + 1 == starts.size() ? measured.sessions.size() : starts[number + 1];
    const bool known = std::ranges::find(fingerprints, start) != fingerprints.end();
    Era& era = eras.emplace_back(measured.commits[start], known ? Era::Cause::fingerprint : Era::Cause::controls);
    for (const SuiteMetric& metric : suite.metrics) {
      const auto change = [&](Part part) -> std::optional<double> {
        const auto before = level(measured, part, metric.name, begin, start), after = level(measured, part, metric.name, start, end);
        return before && after ? std::optional(*after / *before - 1) : std::nullopt;
      };
      era.changes.push_back({metric.name, change(&Session::control), change(&Session::reference)});
    }
  }
  return eras;
}

}  // namespace cowbench::tracking
