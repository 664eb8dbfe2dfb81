// As much of SQLite as the store uses. A failure sticks to its statement until it is asked for.
#pragma once
#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace cowbench::store {

using cowfs::i64;

class Database {
 public:
  // `flags` as sqlite3_open_v2 takes them. On error `reason` says what SQLite says.
  static cowfs::Result<Database> open(const std::string& path, int flags, std::string& reason);

  // Statements without results, without parameters.
  cowfs::Status run(const char* sql);
  i64 last_row() const { return sqlite3_last_insert_rowid(handle_.get()); }
  sqlite3* handle() const { return handle_.get(); }

  // Of the last call that failed.
  cowfs::Error error() const;
  std::string message() const { return sqlite3_errmsg(handle_.get()); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close(handle); }
  };
  explicit Database(sqlite3* handle) : handle_(handle) {}
  std::unique_ptr<sqlite3, Close> handle_;
};

struct Blob {
  std::string_view bytes;
};

class Statement {
 public:
  Statement(const Database& database, const char* sql);

  // Fills the parameters ?1, ?2, ... in order. Text and blobs must live until the next step() is done.
  template <typename... Values>
  Statement& bind(const Values&... values) {
    sqlite3_reset(handle_.get());
    int at = 0;
    (bind_one(++at, values), ...);
    return *this;
  }

  enum class Step { row, done, failed };
  Step step();
  // For statements without rows.
  bool execute() { return step() == Step::done; }

  // Of the current row; views live until the next step().
  i64 integer(int column) const { return sqlite3_column_int64(handle_.get(), column); }
  std::string text(int column) const;
  std::string_view blob(int column) const;

 private:
  void bind_one(int at, i64 value) { check(sqlite3_bind_int64(handle_.get(), at, value)); }
  void bind_one(int at, std::string_view text) {
    check(sqlite3_bind_text(handle_.get(), at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC));
  }
  void bind_one(int at, Blob blob) {
    check(sqlite3_bind_blob(handle_.get(), at, blob.bytes.data(), static_cast<int>(blob.bytes.size()), SQLITE_STATIC));
  }
  void check(int outcome) { failed_ = failed_ || outcome != SQLITE_OK; }

  struct Finalize {
    void operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  bool failed_ = false;
};

}  // namespace cowbench::store
