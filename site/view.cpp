#include "site/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "dashboards/format.h"

namespace cowbench::site {
namespace {

using cowfs::Result;
using store::SeriesKey;

constexpr std::array<std::string_view, 5> standing_names{"worse", "changed", "better", "steady", "short history"};

bool same_load(const SeriesKey& a, const SeriesKey& b) {
  return a.media == b.media && a.workload == b.workload && a.clients == b.clients && a.metric == b.metric;
}

bool in_overview(const SeriesKey& key) {
  const results::MetricDescription* metric = results::find_metric(key.metric);
  return key.media != store::pair_media && key.target != store::control_target && key.target != store::reference_target && (metric == nullptr || metric->compared);
}

void judge(SeriesView& view) {
  const history::StoredHistory& history = view.history;
  const std::size_t begin = view.era_start();
  if (!history.changes.empty() && history.changes.back().at > begin) {
    view.change = history.changes.back();
    const bool more = view.change->effect > 0;
    view.standing = view.metric == nullptr ? Standing::changed
                    : more == (view.metric->direction == results::Direction::higher_is_better) ? Standing::better
                                                                                               : Standing::worse;
  } else {
    view.standing = history.points.size() - begin < history_min ? Standing::short_history : Standing::steady;
  }
}

double size_of_change(const SeriesView& view) { return view.change ? std::abs(std::log1p(view.change->effect)) : 0; }

}  // namespace

std::string_view name(Standing standing) { return standing_names[static_cast<std::size_t>(standing)]; }

std::string SeriesView::title() const {
  return metric == nullptr ? history.key.metric : std::string(metric->title);
}

std::string SeriesView::shown(double value) const {
  return dashboards::format_in_unit(value, metric == nullptr ? "" : metric->unit);
}

std::string load_of(const SeriesKey& key) {
  const std::string clients = key.clients == 0 ? "" : ", " + dashboards::counted(key.clients, "client");
  return fmt::format("{}, {}{}", key.media, key.workload, clients);
}

std::vector<std::string> controls_of(const std::vector<SeriesKey>& keys, const SeriesKey& key) {
  std::vector<std::string> targets;
  for (const SeriesKey& other : keys) {
    const bool fresh = std::ranges::find(targets, other.target) == targets.end();
    if (same_load(other, key) && other.target != key.target && fresh) targets.push_back(other.target);
  }
  return targets;
}

std::string default_control(const std::vector<SeriesKey>& keys, const SeriesKey& key) {
  const std::vector<std::string> targets = controls_of(keys, key);
  for (const std::string_view usual : {store::control_target, std::string_view("xfs")}) {
    if (std::ranges::find(targets, usual) != targets.end()) return std::string(usual);
  }
  return "";
}

Result<SeriesView> view_series(const store::Store& store, const std::vector<SeriesKey>& keys, const SeriesKey& key,
                               const std::string& control, std::string& reason) {
  auto history = history::history_of(store, keys, key, control, {}, reason);
  if (!history) return history.error();
  SeriesView view;
  view.id = id_of(key);
  view.control = control;
  view.metric = results::find_metric(key.metric);
  view.history = std::move(*history);
  for (const store::SeriesPoint& point : view.history.points) view.medians.push_back(results::median(point.values));
  judge(view);
  return view;
}

Result<std::vector<SeriesView>> view_all(const store::Store& store, std::string& reason) {
  const auto keys = store.series(reason);
  if (!keys) return keys.error();
  std::vector<SeriesView> views;
  for (const SeriesKey& key : *keys) {
    if (!in_overview(key)) continue;
    auto view = view_series(store, *keys, key, default_control(*keys, key), reason);
    if (!view) return view.error();
    if (!view->history.points.empty()) views.push_back(std::move(*view));
  }
  std::ranges::stable_sort(views, [](const SeriesView& a, const SeriesView& b) {
    return std::pair(a.standing, -size_of_change(a)) < std::pair(b.standing, -size_of_change(b));
  });
  return views;
}

Result<std::vector<HostView>> view_hosts(const store::Store& store, std::string& reason) {
  auto runs = store.list(reason);
  if (!runs) return runs.error();
  std::vector<HostView> hosts;
  for (store::RunSummary& run : *runs) {
    auto host = std::ranges::find(hosts, run.fingerprint, &HostView::fingerprint);
    if (host == hosts.end()) {
      hosts.push_back({run.fingerprint, {}, {}});
      host = hosts.end() - 1;
    }
    host->runs.push_back(std::move(run));
  }
  for (HostView& host : hosts) {
    for (auto run = host.runs.rbegin(); run != host.runs.rend(); ++run) {
      auto loaded = store.load(run->id, reason);
      if (!loaded) continue;  // a damaged run is `results verify`'s business
      host.environment = std::move(loaded->record.environment);
      break;
    }
  }
  return hosts;
}

}  // namespace cowbench::site
