#include "tracking/bisect.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

namespace cowbench::tracking {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using history::Bisection;

std::string place(const BisectRequest& request, std::size_t commit) {
  return fmt::format("{} {}", request.commits[commit].sha.substr(0, 10), request.commits[commit].subject);
}

std::string_view state_name(Bisection::State state) {
  constexpr std::array<std::string_view, 4> names{"running", "found", "no difference", "out of runs"};
  return names[static_cast<std::size_t>(state)];
}

}  // namespace

Outcome<BisectReport> bisect(const BisectRequest& request, Measurements& measurements) {
  const std::size_t last = request.commits.size() - 1;
  Bisection bisection(request.commits.size(), {}, request.options);
  BisectReport report;
  while (bisection.state() == Bisection::State::running) {
    const std::size_t commit = bisection.next();
    const auto logs = measurements.pairs(request.commits.front().sha, request.commits[commit].sha, 1, request.metric);
    if (logs.ok() && std::isfinite(logs->front())) {
      bisection.observe(commit, logs->front());
      const std::vector<std::size_t> culprits = bisection.culprits();
      request.say(fmt::format("pair {}: {}; {} suspect{}, first {}", bisection.runs(), place(request, commit),
                              culprits.size(), culprits.size() == 1 ? "" : "s", place(request, culprits.front())));
      continue;
    }
    if (!logs && logs.failure().kind != FailureKind::mismatch) return logs.failure();
    const std::string why = logs.ok() ? "it has no logarithm" : logs.failure().what;
    if (commit == 0 || commit == last)
      return Failure{FailureKind::missing, fmt::format("{} cannot be measured: {}", place(request, commit), why), ""};
    request.say(fmt::format("skipped: {}: {}", place(request, commit), why));
    bisection.skip(commit);
    report.skipped.push_back(commit);
  }
  report.state = bisection.state();
  const std::vector<double> posterior = bisection.posterior();
  for (const std::size_t commit : bisection.culprits()) report.suspects.push_back({commit, posterior[commit]});
  report.effect = bisection.effect(report.suspects.front().commit);
  report.observations = bisection.runs();
  report.runs = measurements.runs_made();
  return report;
}

std::string to_json(const BisectRequest& request, const BisectReport& report) {
  using Json = nlohmann::ordered_json;
  const auto commit_json = [&](std::size_t commit) {
    return Json{{"sha", request.commits[commit].sha}, {"subject", request.commits[commit].subject}};
  };
  Json json = {{"schema", "cowbench.bisect/1"},
               {"suite", request.suite->name},
               {"metric", request.metric},
               {"state", state_name(report.state)},
               {"first", commit_json(0)},
               {"last", commit_json(request.commits.size() - 1)},
               {"commits", request.commits.size()},
               {"observations", report.observations},
               {"effect", report.effect ? Json(*report.effect) : Json(nullptr)},
               {"suspects", Json::array()},
               {"skipped", Json::array()}};
  for (const Suspect& suspect : report.suspects) {
    Json entry = commit_json(suspect.commit);
    entry["probability"] = suspect.probability;
    json["suspects"].push_back(std::move(entry));
  }
  for (const std::size_t commit : report.skipped) json["skipped"].push_back(commit_json(commit));
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cowbench::tracking
