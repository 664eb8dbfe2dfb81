// Kernels with intrinsics, each in its own file.
#pragma once
#include "engine/codec/combination.h"

namespace cowfs::codec::kernel {

#if defined(__x86_64__)
void combine_gfni_avx512(const Combination& combination, const std::byte* const* sources, std::byte* const* outputs,
                         std::size_t bytes);
#endif

}  // namespace cowfs::codec::kernel
