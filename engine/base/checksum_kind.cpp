#include "engine/base/checksum_kind.h"

#include <algorithm>

namespace cowfs {

namespace {
constexpr std::array<std::string_view, checksum_kinds.size()> kind_names = {"none", "crc32c", "crc64", "xxh3"};
}

std::string_view name(ChecksumKind kind) { return kind_names[static_cast<u8>(kind)]; }

std::optional<ChecksumKind> parse_checksum_kind(std::string_view name) {
  const auto found = std::find(kind_names.begin(), kind_names.end(), name);
  if (found == kind_names.end()) return std::nullopt;
  return checksum_kinds[static_cast<std::size_t>(found - kind_names.begin())];
}

}  // namespace cowfs
