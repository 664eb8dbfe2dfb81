#include "results/store/sqlite_internal.h"

namespace cowbench::store {

using cowfs::Code;
using cowfs::Error;

cowfs::Result<Database> Database::open(const std::string& path, int flags, std::string& reason) {
  sqlite3* handle = nullptr;
  const int outcome = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  Database database(handle);
  if (outcome == SQLITE_OK) return database;
  reason = handle == nullptr ? "out of memory" : database.message();
  return Error{Code::store_unavailable};
}

cowfs::Status Database::run(const char* sql) {
  if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error();
  return {};
}

cowfs::Error Database::error() const {
  switch (sqlite3_errcode(handle_.get())) {
    case SQLITE_FULL: return Error{Code::store_full};
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return Error{Code::store_busy};
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT: return Error{Code::store_foreign};
    default: return Error{Code::store_unavailable};
  }
}

Statement::Statement(const Database& database, const char* sql) {
  sqlite3_stmt* handle = nullptr;
  failed_ = sqlite3_prepare_v2(database.handle(), sql, -1, &handle, nullptr) != SQLITE_OK;
  handle_.reset(handle);
}

Statement::Step Statement::step() {
  if (failed_) return Step::failed;
  const int outcome = sqlite3_step(handle_.get());
  if (outcome == SQLITE_ROW) return Step::row;
  if (outcome == SQLITE_DONE) return Step::done;
  failed_ = true;
  return Step::failed;
}

std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  return text == nullptr ? std::string() : std::string(text);
}

std::string_view Statement::blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handle_.get(), column));
  return {bytes, bytes == nullptr ? 0u : static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

}  // namespace cowbench::store
