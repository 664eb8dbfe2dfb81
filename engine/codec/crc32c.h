// CRC-32C (Castagnoli), as in iSCSI and ext4: reflected, initial value and final complement ~0. "123456789" gives
// e3069283.
#pragma once
#include "engine/base/types.h"

namespace cowfs::codec {

// The checksum of `data`. To checksum in pieces, pass the previous pieces' checksum as `seed`.
u32 crc32c(ByteSpan data, u32 seed = 0);

// Copies `blocks` blocks of block_bytes and stores the checksum of each: checksums[i] of block i. Ranges do not
// overlap.
void copy_blocks_crc32c(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums);

// The checksum of each of `blocks` blocks, without a copy.
void blocks_crc32c(const std::byte* from, std::size_t blocks, le32* checksums);

// The kernels behind these, for tests and benchmarks. What is called above is chosen once by CPU feature.
namespace kernel {
u32 crc32c_portable(ByteSpan data, u32 seed);
u32 crc32c_isal(ByteSpan data, u32 seed);
u32 crc32c_avx512(ByteSpan data, u32 seed);  // precondition: has_avx512_folding()
void copy_blocks_portable(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums);
void copy_blocks_isal(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums);
void copy_blocks_sse42(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums);  // has_sse42()
void copy_blocks_avx512(std::byte* to, const std::byte* from, std::size_t blocks,
                        le32* checksums);  // has_avx512_folding()
bool has_sse42();
bool has_avx512_folding();
}  // namespace kernel

}  // namespace cowfs::codec
