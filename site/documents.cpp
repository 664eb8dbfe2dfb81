#include "site/documents.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace cowbench::site {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) { return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json maybe(const auto& value) { return value ? Json(*value) : Json(nullptr); }

Json json_of(const store::RunSummary& run) {
  return {{"id", run.id},           {"started", run.started}, {"status", name(run.status)},
          {"reason", run.reason},   {"commit", run.commit},   {"dirty", run.dirty},
          {"samples", run.samples}, {"command_line", run.command_line}};
}

Json key_json(const SeriesView& series) {
  const store::SeriesKey& key = series.history.key;
  Json json = {{"id", series.id},          {"target", key.target},   {"integrity", key.integrity}, {"media", key.media},
               {"workload", key.workload}, {"clients", key.clients}, {"metric", key.metric}};
  const results::MetricDescription* metric = series.metric;
  json["title"] = series.title();
  json["unit"] = metric == nullptr ? "" : metric->unit;
  json["better"] = metric == nullptr                                              ? Json(nullptr)
                   : metric->direction == results::Direction::higher_is_better ? Json("higher")
                                                                                 : Json("lower");
  json["control"] = series.control.empty() ? Json(nullptr) : Json(series.control);
  json["standing"] = name(series.standing);
  return json;
}

Json change_json(const SeriesView& series, const history::ChangePoint& change) {
  const store::SeriesPoint &first = series.history.points[change.at], &last = series.history.points[change.at - 1];
  return {{"at", change.at},          {"run", first.run},
          {"commit", first.commit},   {"run_before", last.run},
          {"commit_before", last.commit}, {"effect", change.effect}, {"p", change.p}};
}

}  // namespace

std::string runs_document(std::span<const store::RunSummary> runs) {
  Json json = {{"schema", "cowbench.results/1"}, {"runs", Json::array()}};
  for (const store::RunSummary& run : runs) json["runs"].push_back(json_of(run));
  return text_of(json);
}

std::string overview_document(std::span<const SeriesView> all) {
  Json json = {{"schema", "cowbench.overview/1"}, {"series", Json::array()}};
  for (const SeriesView& series : all) {
    Json entry = key_json(series);
    entry["runs"] = series.history.points.size();
    entry["latest"] = series.medians.back();
    entry["change"] = series.change ? change_json(series, *series.change) : Json(nullptr);
    json["series"].push_back(std::move(entry));
  }
  return text_of(json);
}

std::string series_document(const SeriesView& series) {
  Json json = {{"schema", "cowbench.series/1"}};
  json.update(key_json(series));
  json["points"] = Json::array();
  for (std::size_t at = 0; at < series.history.points.size(); ++at) {
    const store::SeriesPoint& point = series.history.points[at];
    json["points"].push_back({{"run", point.run},
                              {"commit", point.commit},
                              {"dirty", point.dirty},
                              {"started", point.started},
                              {"host", point.fingerprint},
                              {"median", series.medians[at]},
                              {"values", point.values},
                              {"ratio", series.control.empty() ? Json(nullptr) : Json(std::exp(series.history.logs[at]))}});
  }
  json["eras"] = series.history.eras;
  json["changes"] = Json::array();
  for (const history::ChangePoint& change : series.history.changes) json["changes"].push_back(change_json(series, change));
  return text_of(json);
}

std::string compare_document(const results::Versus& versus, std::string_view a, std::string_view b, double band) {
  Json json = {{"schema", "cowbench.compare/1"}, {"a", a}, {"b", b}, {"band", band}};
  json["findings"] = Json::array();
  for (const results::Finding& finding : versus.findings) {
    const results::Ratio& ratio = finding.ratio;
    Json entry = {{"workload", ratio.workload}, {"media", ratio.media},         {"clients", ratio.clients},
                  {"a", ratio.denominator},     {"b", ratio.numerator},         {"metric", ratio.metric},
                  {"verdict", name(ratio.verdict)}, {"paired", finding.paired}, {"runs", ratio.rounds}};
    entry["ratio"] = maybe(ratio.estimate);
    entry["ci95"] = ratio.ci95 ? Json::array({ratio.ci95->low, ratio.ci95->high}) : Json(nullptr);
    entry["p"] = maybe(finding.p);
    entry["pairs_needed"] = maybe(ratio.rounds_needed);
    entry["remarks"] = finding.remarks;
    json["findings"].push_back(std::move(entry));
  }
  json["refused"] = versus.refused;
  return text_of(json);
}

std::string hosts_document(std::span<const HostView> hosts) {
  Json json = {{"schema", "cowbench.hosts/1"}, {"hosts", Json::array()}};
  for (const HostView& host : hosts) {
    const results::Environment& environment = host.environment;
    json["hosts"].push_back({{"fingerprint", host.fingerprint},
                             {"runs", host.runs.size()},
                             {"first", host.runs.front().started},
                             {"last", host.runs.back().started},
                             {"cpu", environment.cpu},
                             {"cores", environment.cores},
                             {"memory_bytes", environment.memory_bytes},
                             {"kernel", environment.kernel},
                             {"kernel_command_line", environment.kernel_command_line},
                             {"governor", environment.governor},
                             {"mitigations", environment.mitigations},
                             {"virtualization", environment.virtualization},
                             {"warnings", environment.warnings}});
  }
  return text_of(json);
}

std::string error_document(int status, std::string_view message) {
  return text_of({{"schema", "cowbench.error/1"}, {"status", status}, {"message", message}});
}

}  // namespace cowbench::site
