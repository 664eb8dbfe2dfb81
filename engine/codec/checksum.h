// The kinds of checksums that data and metadata may have. What is stored is self-contained: the kind stands beside it.
#pragma once
#include <span>

#include "engine/base/checksum_kind.h"
#include "engine/codec/checksum_kernel.h"

namespace cowfs::codec {

constexpr std::size_t checksum_bytes_max = 8;

constexpr std::size_t checksum_bytes(ChecksumKind kind) {
  return std::array<std::size_t, checksum_kinds.size()>{0, 4, 8, 8}[static_cast<u8>(kind)];
}

// 0 of none; a crc32c in the low half.
u64 checksum(ChecksumKind kind, ByteSpan data);

// The checksums of blocks, packed: checksum_bytes(kind) each, little-endian; nothing of none.
void checksum_blocks(ChecksumKind kind, const std::byte* from, std::size_t blocks, std::byte* checksums);
// The same with a copy in one pass; ranges do not overlap.
void copy_blocks(ChecksumKind kind, std::byte* to, const std::byte* from, std::size_t blocks, std::byte* checksums);
// The first of `blocks` blocks that is not what its checksum says; `blocks` when there is none.
std::size_t first_wrong_block(ChecksumKind kind, const std::byte* from, std::size_t blocks, const std::byte* checksums);

inline bool is_block(ChecksumKind kind, ByteSpan block, const std::byte* checksum) {
  return first_wrong_block(kind, block.data(), 1, checksum) == 1;
}

// The kernels behind these, in order of preference, for tests and benchmarks; the last is portable.
std::span<const ChecksumKernel> checksum_kernels(ChecksumKind kind);

}  // namespace cowfs::codec
