// Why a rollback journal and not a write-ahead log: a run is added once in minutes, and with the former the store at
// rest is one file that may be copied, mailed and kept on a network filesystem.
// Why arrays: one row a sample takes 26 MB for a million, one array a series and run less than half; a series is then
// one short range of the primary key.
#include "results/store/store.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "results/histogram_codec.h"
#include "results/store/samples.h"
#include "results/store/sqlite_internal.h"
#include "results/summary.h"

namespace cowbench::store {
namespace {

using cowfs::Code;
using cowfs::Error;
using cowfs::Result;
using cowfs::Status;

constexpr i64 application_id = 0x636f7762;  // "cowb", in the header of the file
constexpr int wait_ms = 10'000;

// migrations[n] leads from version n to n + 1.
constexpr std::array migrations{
    "CREATE TABLE run(id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, status TEXT NOT NULL, reason TEXT NOT NULL,"
    " started TEXT NOT NULL, command_line TEXT NOT NULL, commit_sha TEXT NOT NULL, dirty INTEGER NOT NULL,"
    " fingerprint TEXT NOT NULL, samples INTEGER NOT NULL) STRICT;"
    "CREATE TABLE document(run_id INTEGER PRIMARY KEY REFERENCES run(id), json BLOB NOT NULL) STRICT;"
    "CREATE TABLE series(id INTEGER PRIMARY KEY, target TEXT NOT NULL, integrity TEXT NOT NULL, media TEXT NOT NULL,"
    " workload TEXT NOT NULL, clients INTEGER NOT NULL, metric TEXT NOT NULL,"
    " UNIQUE(target, integrity, media, workload, clients, metric)) STRICT;"
    "CREATE TABLE point(series_id INTEGER NOT NULL REFERENCES series(id), run_id INTEGER NOT NULL REFERENCES run(id),"
    " result INTEGER NOT NULL, vals BLOB NOT NULL, PRIMARY KEY(series_id, run_id, result)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX point_of_run ON point(run_id);",
};
static_assert(migrations.size() == schema_version);

constexpr const char* run_columns = "hash, started, command_line, commit_sha, dirty, status, reason, fingerprint, samples";

RunSummary summary_of(const Statement& row) {
  return {row.text(0),
          row.text(1),
          row.text(2),
          row.text(3),
          row.integer(4) != 0,
          status_named(row.text(5)).value_or(RunStatus::partial),
          row.text(6),
          row.text(7),
          static_cast<u64>(row.integer(8))};
}

i64 single_integer(const Database& database, const char* sql) {
  Statement statement(database, sql);
  return statement.step() == Statement::Step::row ? statement.integer(0) : -1;
}

enum class Content { store, empty, foreign };

Content content_of(const Database& database) {
  const i64 mark = single_integer(database, "PRAGMA application_id");
  if (mark == application_id) return Content::store;
  const bool empty = mark == 0 && single_integer(database, "SELECT count(*) FROM sqlite_schema") == 0;
  return empty ? Content::empty : Content::foreign;
}

// Under the write lock, since another process may be doing the same.
Status migrate(Database& database) {
  if (const Status begun = database.run("BEGIN IMMEDIATE"); !begun) return begun;
  const std::string mark = fmt::format("PRAGMA application_id={}; PRAGMA user_version={}; COMMIT", application_id,
                                       migrations.size());
  const i64 version = single_integer(database, "PRAGMA user_version");
  for (std::size_t at = static_cast<std::size_t>(version); at < migrations.size(); ++at) {
    if (const Status done = database.run(migrations[at]); !done) return done;
  }
  return database.run(mark.c_str());
}

// Ends a transaction that was not committed.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database), open_(database.run("BEGIN IMMEDIATE").ok()) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (open_) (void)database_.run("ROLLBACK");
  }
  bool open() const { return open_; }
  Status commit() {
    const Status done = database_.run("COMMIT");
    if (done) open_ = false;
    return done;
  }

 private:
  Database& database_;
  bool open_;
};

}  // namespace

std::string default_path() {
  const char* data = std::getenv("XDG_DATA_HOME");
  if (data != nullptr && *data == '/') return std::string(data) + "/cowbench/results.db";
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : std::string(home) + "/.local/share/cowbench/results.db";
}

Store::Store(std::string path, std::unique_ptr<Database> database)
    : path_(std::move(path)), database_(std::move(database)) {}
Store::Store(Store&&) noexcept = default;
Store::~Store() = default;

Error Store::fail(std::string& reason) const {
  reason = path_ + ": " + database_->message();
  return database_->error();
}

Result<Store> Store::open(const std::string& path, Access access, std::string& reason) {
  const bool write = access == Access::write;
  std::error_code ignored;  // opening says it better
  if (write) std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  // A reader, too, may have to undo what a killed writer left: so not read-only, where that is possible.
  auto opened = Database::open(path, SQLITE_OPEN_READWRITE | (write ? SQLITE_OPEN_CREATE : 0), reason);
  if (!opened) {
    const bool none = !write && !std::filesystem::exists(path, ignored);
    reason = path + ": " + (none ? "there is no store yet; a run with --db makes one, or what results import or pull adds" : reason);
    return opened.error();
  }
  Store store(path, std::make_unique<Database>(std::move(*opened)));
  Database& database = *store.database_;
  sqlite3_busy_timeout(database.handle(), wait_ms);
  if (!database.run("PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL; SELECT count(*) FROM sqlite_schema"))
    return store.fail(reason);

  const Content content = content_of(database);
  if (content == Content::foreign || (content == Content::empty && !write)) {
    reason = path + ": not a results store of cowbench";
    return Error{Code::store_foreign};
  }
  const i64 version = single_integer(database, "PRAGMA user_version");
  if (version < 0 || static_cast<u64>(version) > schema_version) {
    reason = fmt::format("{}: has schema version {}, and this build knows up to {}: use a newer cowbench", path, version,
                         schema_version);
    return Error{Code::store_version_newer, static_cast<u64>(version)};
  }
  if (write && static_cast<u64>(version) < schema_version && !migrate(database)) return store.fail(reason);
  if (!write && !database.run("PRAGMA query_only=ON")) return store.fail(reason);
  return store;
}

Status Store::insert(const StoredRun& run, const std::string& id) {
  const results::Environment& environment = run.record.environment;
  const PackedRun packed = pack_run(run.record);
  Statement add_run(*database_, "INSERT INTO run(hash, status, reason, started, command_line, commit_sha, dirty,"
                                " fingerprint, samples) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
  const std::string fingerprint = fingerprint_of(environment);
  if (!add_run.bind(id, name(run.status), run.reason, run.record.started, run.record.command_line, environment.commit,
                    i64{environment.dirty}, fingerprint, static_cast<i64>(count_values(packed))).execute())
    return database_->error();
  const i64 run_row = database_->last_row();

  Statement add_document(*database_, "INSERT INTO document VALUES(?1, ?2)");
  if (!add_document.bind(run_row, Blob{packed.document}).execute()) return database_->error();

  Statement add_series(*database_, "INSERT OR IGNORE INTO series(target, integrity, media, workload, clients, metric)"
                                   " VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
  Statement add_point(*database_, "INSERT INTO point SELECT id, ?7, ?8, ?9 FROM series WHERE target=?1 AND integrity=?2"
                                  " AND media=?3 AND workload=?4 AND clients=?5 AND metric=?6");
  for (const Samples& taken : packed.samples) {
    const SeriesKey& key = taken.series;
    const i64 clients = static_cast<i64>(key.clients);
    const std::string values = pack(taken.values);
    const bool added =
        add_series.bind(key.target, key.integrity, key.media, key.workload, clients, key.metric).execute() &&
        add_point.bind(key.target, key.integrity, key.media, key.workload, clients, key.metric, run_row,
                       static_cast<i64>(taken.result), Blob{values}).execute();
    if (!added) return database_->error();
  }
  return {};
}

Result<std::vector<Added>> Store::add(std::span<const StoredRun> runs, std::string& reason) {
  Transaction transaction(*database_);
  if (!transaction.open()) return fail(reason);
  Statement known(*database_, "SELECT 1 FROM run WHERE hash=?1");
  std::vector<Added> added;
  for (StoredRun run : runs) {
    results::summarise(run.record);  // an id is that of a run in its usual form
    const std::string id = id_of(run);
    const auto found = known.bind(std::string_view(id)).step();
    const bool fresh = found == Statement::Step::done;
    if (found == Statement::Step::failed || (fresh && !insert(run, id))) return fail(reason);
    added.push_back({id, fresh});
  }
  if (!transaction.commit()) return fail(reason);
  return added;
}

Result<std::vector<RunSummary>> Store::list(std::string& reason) const {
  Statement rows(*database_, fmt::format("SELECT {} FROM run ORDER BY started, id", run_columns).c_str());
  std::vector<RunSummary> runs;
  Statement::Step step;
  while ((step = rows.step()) == Statement::Step::row) runs.push_back(summary_of(rows));
  if (step == Statement::Step::failed) return fail(reason);
  return runs;
}

Result<RunSummary> Store::find(std::string_view id, std::string& reason) const {
  const bool latest = id == "latest";
  const std::string sql =
      latest ? fmt::format("SELECT {} FROM run ORDER BY started DESC, id DESC LIMIT 1", run_columns)
             : fmt::format("SELECT {} FROM run WHERE substr(hash, 1, length(?1))=?1 LIMIT 2", run_columns);
  Statement rows(*database_, sql.c_str());
  if (!latest) rows.bind(id);
  std::vector<RunSummary> found;
  Statement::Step step;
  while ((step = rows.step()) == Statement::Step::row) found.push_back(summary_of(rows));
  if (step == Statement::Step::failed) return fail(reason);
  if (found.size() == 1 && !id.empty()) return found.front();
  const char* how_many = found.empty() ? "no run" : "more than one run";
  reason = fmt::format("{}: {} has an id that begins with '{}'", path_, how_many, id);
  return Error{Code::store_run_unknown};
}

Result<std::optional<RunSummary>> Store::predecessor(const RunSummary& run, std::string& reason) const {
  Statement rows(*database_, fmt::format("SELECT {} FROM run AS earlier"
                                         " WHERE (started, id) < (SELECT started, id FROM run WHERE hash=?1)"
                                         " AND EXISTS (SELECT 1 FROM point WHERE run_id=earlier.id AND series_id IN"
                                         " (SELECT series_id FROM point WHERE run_id=(SELECT id FROM run WHERE hash=?1)))"
                                         " ORDER BY started DESC, id DESC LIMIT 1",
                                         run_columns)
                                 .c_str());
  const Statement::Step step = rows.bind(std::string_view(run.id)).step();
  if (step == Statement::Step::failed) return fail(reason);
  return step == Statement::Step::row ? std::optional(summary_of(rows)) : std::nullopt;
}

Result<StoredRun> Store::load(std::string_view id, std::string& reason) const {
  const auto summary = find(id, reason);
  if (!summary) return summary.error();
  StoredRun run{summary->status, summary->reason, {}};
  const auto damaged = [&](const std::string& how) {
    reason = fmt::format("{}: run {}: {}", path_, summary->id, how);
    return Error{Code::store_run_damaged};
  };
  Statement document(*database_, "SELECT json FROM document WHERE run_id=(SELECT id FROM run WHERE hash=?1)");
  if (document.bind(std::string_view(summary->id)).step() != Statement::Step::row) return damaged("its document is gone");
  PackedRun packed{std::string(document.blob(0)), {}};
  Statement points(*database_, "SELECT metric, result, vals FROM point JOIN series ON series.id=series_id"
                               " WHERE run_id=(SELECT id FROM run WHERE hash=?1)");
  points.bind(std::string_view(summary->id));
  Statement::Step step;
  while ((step = points.step()) == Statement::Step::row) {
    Samples samples;
    samples.series.metric = points.text(0);
    samples.result = static_cast<u64>(points.integer(1));
    samples.values = unpack(points.blob(2));
    packed.samples.push_back(std::move(samples));
  }
  if (step == Statement::Step::failed) return fail(reason);
  std::string how;
  auto record = unpack_run(packed, how);
  if (!record) return damaged(how);
  run.record = std::move(*record);
  return run;
}

Result<std::vector<SeriesKey>> Store::series(std::string& reason) const {
  Statement rows(*database_, "SELECT target, integrity, media, workload, clients, metric FROM series"
                             " ORDER BY workload, media, clients, target, integrity, metric");
  std::vector<SeriesKey> keys;
  Statement::Step step;
  while ((step = rows.step()) == Statement::Step::row) {
    keys.push_back({rows.text(0), rows.text(1), rows.text(2), rows.text(3), static_cast<u64>(rows.integer(4)), rows.text(5)});
  }
  if (step == Statement::Step::failed) return fail(reason);
  return keys;
}

Result<std::vector<SeriesPoint>> Store::read(const SeriesKey& key, std::string& reason) const {
  Statement rows(*database_,
                 "SELECT hash, started, commit_sha, dirty, fingerprint, vals FROM point JOIN run ON run.id=run_id"
                 " WHERE series_id=(SELECT id FROM series WHERE target=?1 AND integrity=?2 AND media=?3 AND workload=?4"
                 " AND clients=?5 AND metric=?6) AND status='complete' ORDER BY started, run.id, result");
  rows.bind(key.target, key.integrity, key.media, key.workload, static_cast<i64>(key.clients), key.metric);
  std::vector<SeriesPoint> points;
  Statement::Step step;
  while ((step = rows.step()) == Statement::Step::row) {
    SeriesPoint point{rows.text(0), rows.text(1), rows.text(2), rows.integer(3) != 0, rows.text(4), unpack(rows.blob(5))};
    std::erase_if(point.values, [](double value) { return std::isnan(value); });
    points.push_back(std::move(point));
  }
  if (step == Statement::Step::failed) return fail(reason);
  return points;
}

Result<std::vector<std::string>> Store::verify(std::string& reason) const {
  std::vector<std::string> problems;
  Statement check(*database_, "PRAGMA integrity_check");
  Statement::Step step;
  while ((step = check.step()) == Statement::Step::row) {
    if (check.text(0) != "ok") problems.push_back(path_ + ": " + check.text(0));
  }
  if (step == Statement::Step::failed) problems.push_back(path_ + ": " + database_->message());
  const auto runs = list(reason);
  if (!runs) return runs.error();
  for (const RunSummary& summary : *runs) {
    const auto run = load(summary.id, reason);
    if (!run) {
      problems.push_back(reason);
      continue;
    }
    if (id_of(*run) != summary.id) problems.push_back(fmt::format("{}: run {}: not what was stored", path_, summary.id));
    for (const results::Comparison& comparison : run->record.comparisons) {
      for (const results::TargetResult& result : comparison.results) {
        for (const results::OperationStatistics& operation : result.operations) {
          if (operation.histogram.empty()) continue;
          const auto counts = results::decode_histogram(operation.histogram);
          if (counts && (*counts)->count == operation.count) continue;
          problems.push_back(fmt::format("{}: run {}: {} of {}: its histogram does not hold its {} latencies", path_,
                                         summary.id, operation.name, result.target, operation.count));
        }
      }
    }
  }
  return problems;
}

}  // namespace cowbench::store
