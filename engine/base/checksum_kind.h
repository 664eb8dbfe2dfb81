// The kinds of checksums that data and metadata may have; engine/codec/checksum.h computes them.
#pragma once
#include <array>
#include <optional>
#include <string_view>

#include "engine/base/types.h"

namespace cowfs {

// As stored on the medium.
enum class ChecksumKind : u8 { none = 0, crc32c = 1, crc64 = 2, xxh3 = 3 };
constexpr std::array checksum_kinds = {ChecksumKind::none, ChecksumKind::crc32c, ChecksumKind::crc64,
                                       ChecksumKind::xxh3};

constexpr bool is_checksum_kind(u8 stored) { return stored < checksum_kinds.size(); }

std::string_view name(ChecksumKind kind);  // "crc32c"
std::optional<ChecksumKind> parse_checksum_kind(std::string_view name);

}  // namespace cowfs
