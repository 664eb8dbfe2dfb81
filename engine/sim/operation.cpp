#include "engine/sim/operation.h"

#include <array>
#include <sstream>

namespace cowfs::sim {

namespace {

struct Form {
  OperationKind kind;
  const char* name;
  unsigned paths;    // path, other
  unsigned numbers;  // offset, bytes, salt
};

constexpr std::array forms{
    Form{OperationKind::mkdir, "mkdir", 1, 0},       Form{OperationKind::rmdir, "rmdir", 1, 0},
    Form{OperationKind::create, "create", 1, 0},     Form{OperationKind::unlink, "unlink", 1, 0},
    Form{OperationKind::link, "link", 2, 0},         Form{OperationKind::symlink, "symlink", 2, 0},
    Form{OperationKind::rename, "rename", 2, 0},     Form{OperationKind::rename_new, "rename_new", 2, 0},
    Form{OperationKind::exchange, "exchange", 2, 0}, Form{OperationKind::hold, "hold", 1, 0},
    Form{OperationKind::release, "release", 1, 0},   Form{OperationKind::write, "write", 1, 3},
    Form{OperationKind::read, "read", 1, 2},         Form{OperationKind::truncate, "truncate", 1, 1},
    Form{OperationKind::punch, "punch", 1, 2},       Form{OperationKind::allocate, "allocate", 1, 2},
    Form{OperationKind::stat, "stat", 1, 0},         Form{OperationKind::fsync, "fsync", 1, 0},
    Form{OperationKind::sync, "sync", 0, 0},
};

}  // namespace

std::string to_text(const Operation& operation) {
  const Form& form = forms[static_cast<std::size_t>(operation.kind)];
  std::string text = form.name;
  if (form.paths > 0) text += " " + operation.path;
  if (form.paths > 1) text += " " + operation.other;
  const u64 numbers[] = {operation.offset, operation.bytes, operation.salt};
  for (unsigned i = 0; i < form.numbers; ++i) text += " " + std::to_string(numbers[i]);
  if (operation.direct) text += " direct";
  return text;
}

std::optional<Operation> parse_operation(std::string_view line) {
  std::istringstream words{std::string(line)};
  std::string word;
  words >> word;
  for (const Form& form : forms) {
    if (word != form.name) continue;
    Operation operation{.kind = form.kind};
    if (form.paths > 0) words >> operation.path;
    if (form.paths > 1) words >> operation.other;
    u64* const numbers[] = {&operation.offset, &operation.bytes, &operation.salt};
    for (unsigned i = 0; i < form.numbers; ++i) words >> *numbers[i];
    if (words.fail()) return std::nullopt;
    operation.direct = static_cast<bool>(words >> word) && word == "direct";
    if (words >> word) return std::nullopt;
    return operation;
  }
  return std::nullopt;
}

}  // namespace cowfs::sim
