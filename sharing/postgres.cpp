#include <fmt/format.h>

#include <array>
#include <vector>

#include "sharing/postgres_internal.h"

namespace cowbench::sharing {

using harness::Failure;
using harness::FailureKind;

namespace {

constexpr const char* connect_seconds_max = "10";  // unless the address says otherwise

// libpq explains over several lines, indented or not.
std::string on_one_line(std::string_view text) {
  std::string line;
  for (const char character : text) {
    const bool blank = character == '\n' || character == '\t' || character == ' ';
    if (!blank) line += character;
    if (blank && !line.empty() && !line.ends_with(' ')) line += ' ';
  }
  if (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

Failure Connection::failure(const char* what, std::string_view reason) {
  return Failure{FailureKind::failed, fmt::format("PostgreSQL: {}: {}", what, on_one_line(reason)), ""};
}

Outcome<Connection> Connection::open(const std::string& url) {
  // libpq repeats an address that it does not understand, with the password in it; its other messages never name that.
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> understood(PQconninfoParse(url.c_str(), nullptr),
                                                                                PQconninfoFree);
  if (understood == nullptr)
    return Failure{FailureKind::request, "this is not the address of a PostgreSQL database",
                   "it looks like postgresql://user@host/database"};
  const std::array names{"connect_timeout", "dbname", static_cast<const char*>(nullptr)};
  const std::array values{connect_seconds_max, url.c_str(), static_cast<const char*>(nullptr)};
  constexpr int later_ones_win = 1;  // and a dbname may be an address
  Connection connection(PQconnectdbParams(names.data(), values.data(), later_ones_win));
  PGconn* const opened = connection.connection_.get();
  if (PQstatus(opened) != CONNECTION_OK) return failure("cannot connect", PQerrorMessage(opened));
  PQsetNoticeProcessor(opened, [](void*, const char*) {}, nullptr);
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
  const char* primary = rows.primary_message();
  Failure failed = failure("a statement failed", primary != nullptr ? primary : PQerrorMessage(connection_.get()));
  if (rows.is_refused_text()) failed.kind = FailureKind::refused;
  return failed;
}

}  // namespace cowbench::sharing
