// A team's store: a PostgreSQL database with the tables of the SQLite file (docs/results.md), to which runs are only ever
// added. Each run is one transaction, and writers take turns, so any number of people may push at once.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "harness/outcome.h"
#include "results/store/store.h"

namespace cowbench::sharing {

using cowfs::u64;

struct Moved {
  u64 added = 0, there_already = 0;
  std::vector<std::string> left_out;  // runs that cannot be moved, each with its reason
};

class Connection;

class TeamStore {
 public:
  // `url`: "postgresql://user@host/database", or whatever else libpq takes. Tables are made when they are not there.
  // Failures: failed: what the server says; refused: a newer schema.
  static harness::Outcome<TeamStore> open(const std::string& url);
  TeamStore(TeamStore&&) noexcept;
  ~TeamStore();

  // Everything that the other side does not have. A run that is damaged, or has text that PostgreSQL does not store, is left
  // out, and the others are moved. Failures: failed: the server's or the store's. What was added before one stays.
  harness::Outcome<Moved> push(const store::Store& from);
  harness::Outcome<Moved> pull(store::Store& into);

 private:
  explicit TeamStore(std::unique_ptr<Connection> connection);
  harness::Outcome<store::StoredRun> load(const std::string& id);
  harness::Action insert(const std::string& id, const store::StoredRun& run);
  harness::Action insert_rows(const std::string& id, const store::StoredRun& run);

  std::unique_ptr<Connection> connection_;
};

}  // namespace cowbench::sharing
