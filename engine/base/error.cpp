#include "engine/base/error.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>

namespace cowfs {
namespace {

struct Row {
  std::string_view name;
  ErrorClass error_class;
  int error_number;
  std::string_view meaning;
};

constexpr auto rows = std::to_array<Row>({
#define COWFS_CODE(name, error_class, errno_name, meaning) Row{#name, ErrorClass::error_class, errno_name, meaning},
#include "engine/base/error_codes.inc"
#undef COWFS_CODE
});

const Row& row(Code code) { return rows[static_cast<std::size_t>(code)]; }

}  // namespace

ErrorClass error_class(Code code) { return row(code).error_class; }
int to_errno(Code code) { return row(code).error_number; }
std::string_view name(Code code) { return row(code).name; }
std::string_view meaning(Code code) { return row(code).meaning; }

std::string to_text(const Error& error) {
  std::string text = fmt::format("{} ({:#x}): {}", name(error.code), error.value, meaning(error.code));
  const Place& place = error.place;
  if (place.device != Place::nowhere) text += fmt::format("; device {}", place.device);
  if (place.offset_bytes != ~0ull) text += fmt::format("; offset {}", place.offset_bytes);
  if (place.slice != Place::nowhere) text += fmt::format("; slice {}", place.slice);
  if (place.tree != Place::nowhere) text += fmt::format("; tree {}", place.tree);
  return text;
}

}  // namespace cowfs
