// CRC-32C (Castagnoli), as in iSCSI and ext4: reflected, initial value and final complement ~0. "123456789" gives
// e3069283.
#pragma once
#include <span>

#include "engine/codec/checksum_kernel.h"

namespace cowfs::codec {

// The checksum of `data`. To checksum in pieces, pass the previous pieces' checksum as `seed`.
u32 crc32c(ByteSpan data, u32 seed = 0);

namespace kernel {
std::span<const ChecksumKernel> crc32c_kernels();  // in order of preference; the last is portable
u32 crc32c_portable(ByteSpan data, u32 seed);
}  // namespace kernel

}  // namespace cowfs::codec
