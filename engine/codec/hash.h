// XXH3 with 64 bits, by libxxhash: the same on every host. For tables and names, and one of the kinds of checksums.
#pragma once
#include <span>
#include <string_view>

#include "engine/codec/checksum_kernel.h"

namespace cowfs::codec {

u64 xxh3(ByteSpan data, u64 seed = 0);
inline u64 xxh3(std::string_view text, u64 seed = 0) {
  return xxh3(ByteSpan{reinterpret_cast<const std::byte*>(text.data()), text.size()}, seed);
}

namespace kernel {
std::span<const ChecksumKernel> xxh3_kernels();  // in order of preference; the last is portable
}

}  // namespace cowfs::codec
