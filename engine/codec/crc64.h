// CRC-64 of ECMA-182, reflected, as xz has it: initial value and final complement ~0. "123456789" gives 995dc9bbdf1939fa.
#pragma once
#include <span>

#include "engine/codec/checksum_kernel.h"

namespace cowfs::codec::kernel {

std::span<const ChecksumKernel> crc64_kernels();  // in order of preference; the last is portable

}  // namespace cowfs::codec::kernel
