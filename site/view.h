// What a store says, in the shapes that pages and API show. Nothing here is measured or judged anew: levels and eras are
// those of results/history.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "results/history/stored_changes.h"
#include "results/metrics.h"
#include "results/store/store.h"

namespace cowbench::site {

using cowfs::u64;

// Where a series stands since the last change of level in its current era; the first needs attention most.
enum class Standing {
  worse,
  changed,  // of a metric of which only its suite knows which way is better
  better,
  steady,
  short_history,  // too few runs in this era to tell
};
std::string_view name(Standing standing);
constexpr std::size_t history_min = 6;

// "disk, dbench client.txt, 48 clients"
std::string load_of(const store::SeriesKey& key);

struct SeriesView {
  std::string id;
  history::StoredHistory history;
  std::vector<double> medians;                           // of each point
  std::string control;                                   // changes are looked for in the ratio to it; empty: in the values
  const results::MetricDescription* metric = nullptr;    // null: only its suite knows it
  Standing standing = Standing::short_history;
  std::optional<history::ChangePoint> change;            // that the standing speaks of

  std::string title() const;                             // "Throughput"
  std::string shown(double value) const;                 // in the metric's unit
  std::string load() const { return load_of(history.key); }
  std::size_t era_start() const { return history.eras.empty() ? 0 : history.eras.back(); }
};

// Targets that ran under the same load and were measured by the same metric.
std::vector<std::string> controls_of(const std::vector<store::SeriesKey>& keys, const store::SeriesKey& key);
// "control" of a suite, or xfs; empty when neither ran beside it.
std::string default_control(const std::vector<store::SeriesKey>& keys, const store::SeriesKey& key);

// Errors of all: the store's.
cowfs::Result<SeriesView> view_series(const store::Store& store, const std::vector<store::SeriesKey>& keys,
                                      const store::SeriesKey& key, const std::string& control, std::string& reason);

// Every series of a metric that is compared, the worst first; within one standing the greatest change first. Controls
// themselves and evidence about single changes are left out.
cowfs::Result<std::vector<SeriesView>> view_all(const store::Store& store, std::string& reason);

struct HostView {
  std::string fingerprint;
  std::vector<store::RunSummary> runs;  // in the order of their start
  results::Environment environment;     // of the last one that can be read
};
// In the order of their first run.
cowfs::Result<std::vector<HostView>> view_hosts(const store::Store& store, std::string& reason);

}  // namespace cowbench::site
