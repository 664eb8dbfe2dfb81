#include <fmt/format.h>

#include <vector>

#include "sharing/postgres_internal.h"

namespace cowbench::sharing {

using harness::Failure;
using harness::FailureKind;

Failure Connection::failure(const char* what) const {
  std::string reason = PQerrorMessage(connection_.get());
  while (reason.ends_with('\n')) reason.pop_back();
  return Failure{FailureKind::failed, fmt::format("PostgreSQL: {}: {}", what, reason), ""};
}

Outcome<Connection> Connection::open(const std::string& url) {
  // libpq repeats an address that it does not understand, with the password in it; its other messages never name that.
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> understood(PQconninfoParse(url.c_str(), nullptr),
                                                                                PQconninfoFree);
  if (understood == nullptr)
    return Failure{FailureKind::request, "this is not the address of a PostgreSQL database",
                   "it looks like postgresql://user@host/database"};
  Connection connection(PQconnectdb(url.c_str()));
  if (PQstatus(connection.connection_.get()) != CONNECTION_OK) return connection.failure("cannot connect");
  PQsetNoticeProcessor(connection.connection_.get(), [](void*, const char*) {}, nullptr);
  return connection;
}

Outcome<Rows> Connection::run(const char* sql, std::initializer_list<Value> values) {
  std::vector<const char*> bytes;
  std::vector<int> lengths, formats;
  for (const Value& value : values) {
    // libpq takes text up to its first NUL byte, and no error.
    if (!value.binary && value.bytes.find('\0') != std::string::npos)
      return Failure{FailureKind::refused, fmt::format("PostgreSQL has no text with NUL bytes: '{}' and more", value.bytes.c_str()), ""};
    bytes.push_back(value.bytes.data());
    lengths.push_back(static_cast<int>(value.bytes.size()));
    formats.push_back(value.binary ? 1 : 0);
  }
  constexpr int binary_results = 1;
  Rows rows(PQexecParams(connection_.get(), sql, static_cast<int>(values.size()), nullptr, bytes.data(), lengths.data(),
                         formats.data(), binary_results));
  const ExecStatusType status = rows.status();
  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return rows;
  Failure failed = failure("a statement failed");
  if (rows.is_refused_text()) failed.kind = FailureKind::refused;
  return failed;
}

}  // namespace cowbench::sharing
