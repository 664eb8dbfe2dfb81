// Hashes for tables and names; not for integrity.
#pragma once
#include <string_view>

#include "engine/base/types.h"

namespace cowfs::codec {

// XXH3, 64 bits; the same on every host.
u64 xxh3(ByteSpan data, u64 seed = 0);
inline u64 xxh3(std::string_view text, u64 seed = 0) {
  return xxh3(ByteSpan{reinterpret_cast<const std::byte*>(text.data()), text.size()}, seed);
}

}  // namespace cowfs::codec
