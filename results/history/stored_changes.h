// Candidates for changes in what a store holds, series by series.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "results/history/changepoints.h"
#include "results/store/store.h"

namespace cowbench::history {

struct StoredRequest {
  std::string metric = "throughput_mb_s";
  std::string control = "";  // a target that ran in the same runs: the ratio to it is looked at; empty: the values themselves
  DetectorOptions detector = {};
};

struct StoredHistory {
  store::SeriesKey key;
  std::vector<store::SeriesPoint> points;  // that have a positive median; with a control only those that it has too
  std::vector<double> logs;                // of each point's median, or of its ratio to the control's
  std::vector<std::size_t> eras;           // the points at which the machine changed (eras.h)
  std::vector<ChangePoint> changes;        // within one era each
};

// Of one series. `keys`: all of the store. Errors: the store's.
cowfs::Result<StoredHistory> history_of(const store::Store& store, const std::vector<store::SeriesKey>& keys,
                                        const store::SeriesKey& key, const std::string& control,
                                        const DetectorOptions& detector, std::string& reason);

// Every series of the metric but the control's. Errors: the store's.
cowfs::Result<std::vector<StoredHistory>> find_changes(const store::Store& store, const StoredRequest& request,
                                                       std::string& reason);

}  // namespace cowbench::history
