// Where runs are kept: one SQLite file, to which runs are only ever added. docs/results.md describes its tables.
// Each addition is one transaction with a rollback journal and full synchronisation, so that a crash or kill -9 at any
// moment leaves the store with all of it or nothing. One writer at a time, any number of readers; a caller that finds
// the store in use waits for up to ten seconds.
// Whatever fails also sets `reason`: a sentence for people that names the file.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "results/store/run.h"
#include "results/store/series.h"

namespace cowbench::store {

constexpr u64 schema_version = 1;

// $XDG_DATA_HOME/cowbench/results.db, or ~/.local/share/cowbench/results.db; empty when neither variable is set.
std::string default_path();

struct RunSummary {
  std::string id, started, command_line, commit;
  bool dirty = false;
  RunStatus status = RunStatus::complete;
  std::string reason;
  std::string fingerprint;  // see fingerprint_of()
  u64 samples = 0;
};

struct Added {
  std::string id;
  bool fresh = true;  // false: it was there already
};

class Database;

class Store {
 public:
  enum class Access { read, write };

  // With write access, folder and store are made when they are not there.
  // Errors: store_unavailable; store_foreign: not a store, or a damaged one; store_version_newer.
  static cowfs::Result<Store> open(const std::string& path, Access access, std::string& reason);
  Store(Store&&) noexcept;
  ~Store();

  // All of them or none. Precondition: write access.
  // Errors: store_full, store_busy, store_unavailable; nothing was added then.
  cowfs::Result<std::vector<Added>> add(std::span<const StoredRun> runs, std::string& reason);

  // In the order of their start.
  cowfs::Result<std::vector<RunSummary>> list(std::string& reason) const;

  // `id` may be cut short where that is unique; "latest" is the one that started last.
  // Error store_run_unknown: none, or several.
  cowfs::Result<RunSummary> find(std::string_view id, std::string& reason) const;

  // The last run before `run` that measured one of its series; absent: none did.
  cowfs::Result<std::optional<RunSummary>> predecessor(const RunSummary& run, std::string& reason) const;

  // Metric summaries and ratios are computed anew. Errors: find()'s; store_run_damaged.
  cowfs::Result<StoredRun> load(std::string_view id, std::string& reason) const;

  cowfs::Result<std::vector<SeriesKey>> series(std::string& reason) const;
  // Complete runs only, in the order of their start; empty when there is no such series.
  cowfs::Result<std::vector<SeriesPoint>> read(const SeriesKey& key, std::string& reason) const;

  // What is wrong with the store, a line each: SQLite's own check; every run decoded and its id computed again; every
  // histogram decoded.
  cowfs::Result<std::vector<std::string>> verify(std::string& reason) const;

 private:
  Store(std::string path, std::unique_ptr<Database> database);
  cowfs::Error fail(std::string& reason) const;
  cowfs::Status insert(const StoredRun& run, const std::string& id);

  std::string path_;
  std::unique_ptr<Database> database_;
};

}  // namespace cowbench::store
