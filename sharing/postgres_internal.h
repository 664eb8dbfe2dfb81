// As much of libpq as sharing needs.
#pragma once
#include <libpq-fe.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "harness/outcome.h"

namespace cowbench::sharing {

using harness::Outcome;

// A parameter of a statement: bytes, text or a number as text.
struct Value {
  Value(std::string_view text) : bytes(text), binary(false) {}
  Value(std::uint64_t number) : bytes(std::to_string(number)), binary(false) {}
  static Value blob(std::string_view bytes) {
    Value value(bytes);
    value.binary = true;
    return value;
  }
  std::string bytes;
  bool binary;
};

// Cells are bytes: text as it is, bytea as stored. Ask for numbers with ::text.
class Rows {
 public:
  explicit Rows(PGresult* result) : result_(result) {}
  ExecStatusType status() const { return PQresultStatus(result_.get()); }
  // The statement failed because a text is none in the database's encoding.
  bool is_refused_text() const {
    constexpr std::string_view character_not_in_repertoire = "22021";
    const char* state = PQresultErrorField(result_.get(), PG_DIAG_SQLSTATE);
    return state != nullptr && state == character_not_in_repertoire;
  }
  // Of a failure, without the statement and hints; nullptr where the server did not say.
  const char* primary_message() const { return PQresultErrorField(result_.get(), PG_DIAG_MESSAGE_PRIMARY); }
  int count() const { return PQntuples(result_.get()); }
  std::string text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
  }

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

class Connection {
 public:
  static Outcome<Connection> open(const std::string& url);
  // Failures: failed: what the server says; refused: text that it does not store (NUL bytes, another encoding).
  Outcome<Rows> run(const char* sql, std::initializer_list<Value> values = {});

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  explicit Connection(PGconn* connection) : connection_(connection) {}
  static harness::Failure failure(const char* what, std::string_view reason);
  std::unique_ptr<PGconn, Finish> connection_;
};

}  // namespace cowbench::sharing
