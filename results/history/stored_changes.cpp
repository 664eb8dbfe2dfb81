#include "results/history/stored_changes.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "results/history/eras.h"

namespace cowbench::history {
namespace {

using cowfs::Result;
using store::SeriesKey;
using store::SeriesPoint;

bool usable(const SeriesPoint& point) {
  return !point.values.empty() && results::median(point.values) > 0;
}

double log_of(const SeriesPoint& point) { return std::log(results::median(point.values)); }

// The logarithm of the control in each run that shares the series' load.
Result<std::map<std::string, double>> control_of(const store::Store& store, const std::vector<SeriesKey>& keys,
                                                 const SeriesKey& key, const std::string& control, std::string& reason) {
  std::map<std::string, double> logs;
  for (const SeriesKey& other : keys) {
    const bool same_load = other.media == key.media && other.workload == key.workload && other.clients == key.clients;
    if (other.target != control || other.metric != key.metric || !same_load) continue;
    const auto points = store.read(other, reason);
    if (!points) return points.error();
    for (const SeriesPoint& point : *points)
      if (usable(point)) logs[point.run] = log_of(point);
  }
  return logs;
}

// By fingerprints, and by the two controls of a suite.
Result<std::vector<std::size_t>> eras_of(const store::Store& store, const std::vector<SeriesKey>& keys,
                                         const StoredHistory& history, std::string& reason) {
  std::vector<std::string> fingerprints;
  for (const SeriesPoint& point : history.points) fingerprints.push_back(point.fingerprint);
  const auto controls = control_of(store, keys, history.key, std::string(store::control_target), reason);
  if (!controls) return controls.error();
  const auto references = control_of(store, keys, history.key, std::string(store::reference_target), reason);
  if (!references) return references.error();
  std::vector<double> apart;
  for (const SeriesPoint& point : history.points) {
    const auto control = controls->find(point.run), reference = references->find(point.run);
    if (control == controls->end() || reference == references->end()) return fingerprint_eras(fingerprints);
    apart.push_back(control->second - reference->second);
  }
  return joined_eras(fingerprint_eras(fingerprints), control_eras(apart));
}

void detect(StoredHistory& history, const DetectorOptions& options) {
  std::size_t begin = 0;
  for (std::size_t era = 0; era <= history.eras.size(); ++era) {
    const std::size_t end = era < history.eras.size() ? history.eras[era] : history.logs.size();
    for (ChangePoint change : detect_changes(std::span(history.logs).subspan(begin, end - begin), options)) {
      change.at += begin;
      history.changes.push_back(change);
    }
    begin = end;
  }
}

}  // namespace

Result<StoredHistory> history_of(const store::Store& store, const std::vector<SeriesKey>& keys, const SeriesKey& key,
                                 const std::string& control, const DetectorOptions& detector, std::string& reason) {
  auto points = store.read(key, reason);
  if (!points) return points.error();
  std::map<std::string, double> beside;
  if (!control.empty()) {
    auto found = control_of(store, keys, key, control, reason);
    if (!found) return found.error();
    beside = std::move(*found);
  }
  StoredHistory history{key, {}, {}, {}, {}};
  for (SeriesPoint& point : *points) {
    const auto log = beside.find(point.run);
    if (!usable(point) || (!control.empty() && log == beside.end())) continue;
    history.logs.push_back(log_of(point) - (log == beside.end() ? 0 : log->second));
    history.points.push_back(std::move(point));
  }
  auto eras = eras_of(store, keys, history, reason);
  if (!eras) return eras.error();
  history.eras = std::move(*eras);
  detect(history, detector);
  return history;
}

Result<std::vector<StoredHistory>> find_changes(const store::Store& store, const StoredRequest& request,
                                                std::string& reason) {
  const auto keys = store.series(reason);
  if (!keys) return keys.error();
  std::vector<StoredHistory> histories;
  for (const SeriesKey& key : *keys) {
    if (key.metric != request.metric || key.target == request.control || key.media == store::pair_media) continue;
    auto history = history_of(store, *keys, key, request.control, request.detector, reason);
    if (!history) return history.error();
    histories.push_back(std::move(*history));
  }
  return histories;
}

}  // namespace cowbench::history
