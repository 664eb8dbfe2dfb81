#include <cmath>
#include <nlohmann/json.hpp>

#include "tracking/track.h"

namespace cowbench::tracking {
namespace {

using Json = nlohmann::ordered_json;

Json number(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

Json values_json(const Session::Figures& figures, const std::string& metric) {
  const auto found = figures.find(metric);
  return found == figures.end() ? Json::array() : Json(found->second);
}

Json era_json(const Era& era, const TrackReport& report) {
  Json json = {{"commit", report.commits[era.commit].commit.sha}, {"cause", name(era.cause)}, {"changes", Json::array()}};
  for (const ControlChange& change : era.changes)
    json["changes"].push_back({{"metric", change.metric}, {"control", number(change.control)}, {"reference", number(change.reference)}});
  return json;
}

Json commit_json(const TrackedCommit& tracked, const std::vector<TrackedSeries>& series) {
  Json json = {{"sha", tracked.commit.sha},
               {"subject", tracked.commit.subject},
               {"committed", tracked.commit.committed},
               {"state", name(tracked.state)},
               {"note", tracked.note},
               {"build", tracked.build},
               {"values", Json::object()}};
  for (const TrackedSeries& one : series) {
    const std::string& metric = one.metric.name;
    const auto subject = tracked.session.subject.find(metric);
    if (subject == tracked.session.subject.end()) continue;
    const double ratio = std::exp(log_ratio(tracked, metric));
    json["values"][metric] = {{"subject", subject->second},
                              {"control", values_json(tracked.session.control, metric)},
                              {"reference", values_json(tracked.session.reference, metric)},
                              {"ratio", std::isfinite(ratio) ? Json(ratio) : Json(nullptr)}};
  }
  return json;
}

Json event_json(const TrackedEvent& found, const TrackReport& report) {
  const history::Event& event = found.event;
  const auto sha = [&](std::size_t commit) { return report.commits[commit].commit.sha; };
  return {{"commit", sha(event.at)},
          {"first", sha(event.first)},
          {"last", sha(event.last)},
          {"effect", event.effect},
          {"ratio_ci99", {event.ratio_ci99.low, event.ratio_ci99.high}},
          {"state", event.state == history::EventState::fixed ? "fixed" : "confirmed"},
          {"worse", found.worse},
          {"before", number(found.before)},
          {"after", number(found.after)}};
}

}  // namespace

std::string to_json(const TrackReport& report) {
  Json json = {{"schema", "cowbench.track/1"}, {"suite", report.suite},    {"runs", report.runs},
               {"warnings", report.warnings},  {"commits", Json::array()}, {"eras", Json::array()},
               {"environment_changes", Json::array()}, {"series", Json::array()}, {"groups", Json::array()}};
  for (const TrackedCommit& tracked : report.commits) json["commits"].push_back(commit_json(tracked, report.series));
  for (const Era& era : report.eras) {
    json["eras"].push_back(report.commits[era.commit].commit.sha);
    json["environment_changes"].push_back(era_json(era, report));
  }
  for (const TrackedSeries& series : report.series) {
    const bool higher = series.metric.direction == results::Direction::higher_is_better;
    Json entry = {{"metric", series.metric.name},
                  {"better", higher ? "higher" : "lower"},
                  {"exact", series.exact},
                  {"events", Json::array()}};
    for (const TrackedEvent& found : series.events) entry["events"].push_back(event_json(found, report));
    json["series"].push_back(std::move(entry));
  }
  for (const history::EventGroup& group : report.groups) {
    json["groups"].push_back({{"title", title(group)},
                              {"first", report.commits[group.first].commit.sha},
                              {"last", report.commits[group.last].commit.sha}});
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cowbench::tracking
