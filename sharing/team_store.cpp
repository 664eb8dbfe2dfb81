#include "sharing/team_store.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <set>

#include "results/store/samples.h"
#include "sharing/postgres_internal.h"

namespace cowbench::sharing {
namespace {

using harness::Action;
using harness::Done;
using harness::Failure;
using harness::FailureKind;
using store::StoredRun;

constexpr u64 schema_version = 1;
constexpr u64 turn = 0x636f7762;  // "cowb": the lock that writers hold

constexpr std::array schema{
    "CREATE TABLE cowbench(version BIGINT NOT NULL)",
    "CREATE TABLE run(id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hash TEXT NOT NULL UNIQUE,"
    " status TEXT NOT NULL, reason TEXT NOT NULL, started TEXT NOT NULL, command_line TEXT NOT NULL,"
    " commit_sha TEXT NOT NULL, dirty BOOLEAN NOT NULL, fingerprint TEXT NOT NULL, samples BIGINT NOT NULL)",
    "CREATE TABLE document(run_id BIGINT PRIMARY KEY REFERENCES run(id), json BYTEA NOT NULL)",
    "CREATE TABLE series(id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, target TEXT NOT NULL,"
    " integrity TEXT NOT NULL, media TEXT NOT NULL, workload TEXT NOT NULL, clients BIGINT NOT NULL, metric TEXT NOT NULL,"
    " UNIQUE(target, integrity, media, workload, clients, metric))",
    "CREATE TABLE point(series_id BIGINT NOT NULL REFERENCES series(id), run_id BIGINT NOT NULL REFERENCES"
    " run(id), result BIGINT NOT NULL, vals BYTEA NOT NULL, PRIMARY KEY(series_id, run_id, result))",
    "CREATE INDEX point_of_run ON point(run_id)",
};

u64 number_of(const std::string& text) {
  u64 number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Ends with all of it or nothing; one writer at a time.
Action in_transaction(Connection& connection, auto&& body) {
  if (const auto begun = connection.run("BEGIN"); !begun) return begun.failure();
  Action done = Done{};
  if (const auto locked = connection.run("SELECT pg_advisory_xact_lock($1)", {turn}); !locked)
    done = locked.failure();
  else
    done = body();
  if (const auto ended = connection.run(done ? "COMMIT" : "ROLLBACK"); done && !ended) return ended.failure();
  return done;
}

// In the order of their start, as the local store has them.
Outcome<std::vector<std::string>> ids_of(Connection& connection) {
  const auto rows = connection.run("SELECT hash FROM run ORDER BY started COLLATE \"C\", id");
  if (!rows) return rows.failure();
  std::vector<std::string> ids;
  for (int row = 0; row < rows->count(); ++row) ids.push_back(rows->text(row, 0));
  return ids;
}

Outcome<std::vector<std::string>> ids_of(const store::Store& store) {
  std::string reason;
  const auto runs = store.list(reason);
  if (!runs) return Failure{FailureKind::failed, reason, ""};
  std::vector<std::string> ids;
  for (const store::RunSummary& run : *runs) ids.push_back(run.id);
  return ids;
}

Action make_schema(Connection& connection) {
  for (const char* statement : schema)
    if (const auto made = connection.run(statement); !made)
      return Failure{made.failure().kind, "the team's store cannot be made: " + made.failure().what,
                     "it wants a database of its own, and the right to make tables there"};
  const auto set = connection.run("INSERT INTO cowbench VALUES($1)", {schema_version});
  return set ? Action(Done{}) : Action(set.failure());
}

// Nothing is written where the tables are, so that whoever may only read can pull.
Action check_schema(Connection& connection) {
  const auto missing = connection.run("SELECT 1 WHERE to_regclass('cowbench') IS NULL");
  if (!missing) return missing.failure();
  if (missing->count() == 1) return make_schema(connection);
  // As JSON, so that another program's table of this name is one without a version and not an error.
  const auto version = connection.run("SELECT to_jsonb(cowbench)->>'version' FROM cowbench");
  if (!version) return version.failure();
  const u64 found = version->count() == 0 ? 0 : number_of(version->text(0, 0));
  if (found == schema_version) return Done{};
  if (found < schema_version)
    return Failure{FailureKind::refused, "the table cowbench of this database is not that of a team's store",
                   "use a database of its own"};
  return Failure{FailureKind::refused, fmt::format("the team's store has schema version {}, and this build knows {}", found,
                                                   schema_version), "use a newer cowbench"};
}

// Copies what `there` lacks with `copy`, run by run; a run that it refuses is left out.
Outcome<Moved> move_missing(const std::vector<std::string>& here, const std::vector<std::string>& there, auto&& copy) {
  const std::set<std::string> known(there.begin(), there.end());
  Moved moved;
  for (const std::string& id : here) {
    if (known.contains(id)) {
      ++moved.there_already;
      continue;
    }
    const Action copied = copy(id);
    if (copied) {
      ++moved.added;
    } else if (copied.failure().kind == FailureKind::refused) {
      moved.left_out.push_back(fmt::format("run {}: {}", id, copied.failure().what));
    } else {
      Failure failed = copied.failure();
      if (failed.remedy.empty())
        failed.remedy = fmt::format("{} of {} were there by then; the same command goes on", moved.there_already + moved.added,
                                    here.size());
      return failed;
    }
  }
  return moved;
}

}  // namespace

TeamStore::TeamStore(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
TeamStore::TeamStore(TeamStore&&) noexcept = default;
TeamStore::~TeamStore() = default;

Outcome<TeamStore> TeamStore::open(const std::string& url) {
  auto opened = Connection::open(url);
  if (!opened) return opened.failure();
  auto connection = std::make_unique<Connection>(std::move(*opened));
  if (const Action made = in_transaction(*connection, [&] { return check_schema(*connection); }); !made)
    return made.failure();
  return TeamStore(std::move(connection));
}

Action TeamStore::insert_rows(const std::string& id, const StoredRun& run) {
  const results::Environment& environment = run.record.environment;
  const store::PackedRun packed = store::pack_run(run.record);
  const auto added = connection_->run(
      "INSERT INTO run(hash, status, reason, started, command_line, commit_sha, dirty, fingerprint, samples)"
      " VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT(hash) DO NOTHING RETURNING id::text",
      {std::string_view(id), name(run.status), std::string_view(run.reason), std::string_view(run.record.started),
       std::string_view(run.record.command_line), std::string_view(environment.commit),
       std::string_view(environment.dirty ? "true" : "false"), std::string_view(store::fingerprint_of(environment)),
       count_values(packed)});
  if (!added) return added.failure();
  if (added->count() == 0) return Done{};  // somebody else was faster
  const u64 row = number_of(added->text(0, 0));
  if (const auto kept = connection_->run("INSERT INTO document VALUES($1, $2)", {row, Value::blob(packed.document)}); !kept)
    return kept.failure();
  for (const store::Samples& taken : packed.samples) {
    const store::SeriesKey& key = taken.series;
    const auto series = connection_->run(
        "INSERT INTO series(target, integrity, media, workload, clients, metric) VALUES($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT(target, integrity, media, workload, clients, metric) DO UPDATE SET metric=EXCLUDED.metric"
        " RETURNING id::text",
        {std::string_view(key.target), std::string_view(key.integrity), std::string_view(key.media),
         std::string_view(key.workload), key.clients, std::string_view(key.metric)});
    if (!series) return series.failure();
    const auto point = connection_->run(
        "INSERT INTO point VALUES($1, $2, $3, $4)",
        {number_of(series->text(0, 0)), row, taken.result, Value::blob(store::pack(taken.values))});
    if (!point) return point.failure();
  }
  return Done{};
}

Action TeamStore::insert(const std::string& id, const StoredRun& run) {
  return in_transaction(*connection_, [&] { return insert_rows(id, run); });
}

Outcome<Moved> TeamStore::push(const store::Store& from) {
  const auto there = ids_of(*connection_);
  if (!there) return there.failure();
  const auto here = ids_of(from);
  if (!here) return here.failure();
  return move_missing(*here, *there, [&](const std::string& id) -> Action {
    std::string reason;
    const auto run = from.load(id, reason);
    if (run) return insert(id, *run);
    const bool is_its_own = run.error().code == cowfs::Code::store_run_damaged;
    return Failure{is_its_own ? FailureKind::refused : FailureKind::failed, reason, "cowbench results verify says more"};
  });
}

Outcome<StoredRun> TeamStore::load(const std::string& id) {
  const auto damaged = [](const std::string& how) {
    return Failure{FailureKind::refused, "damaged in the team's store: " + how, ""};
  };
  const auto found = connection_->run(
      "SELECT status, reason, json FROM run JOIN document ON run_id=run.id WHERE hash=$1", {std::string_view(id)});
  if (!found) return found.failure();
  if (found->count() != 1) return damaged("its document is gone");
  const auto status = store::status_named(found->text(0, 0));
  if (!status) return damaged("its status is unknown");
  store::PackedRun packed{found->text(0, 2), {}};
  const auto points = connection_->run(
      "SELECT metric, result::text, vals FROM point JOIN series ON series.id=series_id JOIN run ON run.id=run_id"
      " WHERE hash=$1", {std::string_view(id)});
  if (!points) return points.failure();
  for (int row = 0; row < points->count(); ++row) {
    store::Samples samples;
    samples.series.metric = points->text(row, 0);
    samples.result = number_of(points->text(row, 1));
    samples.values = store::unpack(points->text(row, 2));
    packed.samples.push_back(std::move(samples));
  }
  std::string how;
  auto record = store::unpack_run(packed, how);
  if (!record) return damaged(how);
  StoredRun run{*status, found->text(0, 1), std::move(*record)};
  if (id_of(run) != id) return damaged("it is not what was stored");
  return run;
}

Outcome<Moved> TeamStore::pull(store::Store& into) {
  const auto there = ids_of(*connection_);
  if (!there) return there.failure();
  const auto here = ids_of(into);
  if (!here) return here.failure();
  return move_missing(*there, *here, [&](const std::string& id) -> Action {
    const auto run = load(id);
    if (!run) return run.failure();
    std::string reason;
    if (!into.add({&*run, 1}, reason)) return Failure{FailureKind::failed, reason, ""};
    return Done{};
  });
}

}  // namespace cowbench::sharing
