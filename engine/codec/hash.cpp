// The library's usual functions are compiled for the base instruction set; its dispatching ones take AVX2 and AVX-512 where
// the processor has them, and nothing can be taken away from those.
#include "engine/codec/hash.h"

#include <xxhash.h>

#include <array>

#if defined(__x86_64__)
#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>
#endif

#include "engine/codec/vector_state_internal.h"

namespace cowfs::codec {

u64 xxh3(ByteSpan data, u64 seed) { return XXH3_64bits_withSeed(data.data(), data.size(), seed); }

namespace {
u64 of_library(ByteSpan data) { return XXH3_64bits(data.data(), data.size()); }
#if defined(__x86_64__)
u64 of_dispatching_library(ByteSpan data) {
  const u64 hash = XXH3_64bits_dispatch(data.data(), data.size());
  clear_vector_state();
  return hash;
}
#endif
}  // namespace

std::span<const ChecksumKernel> kernel::xxh3_kernels() {
  static const std::array kernels = {
#if defined(__x86_64__)
    ChecksumKernel{"library-dispatch", native_cpu_features(), of_dispatching_library,
                   copy_then_checksum<le64, of_dispatching_library>},
#endif
    ChecksumKernel{"library", {}, of_library, copy_then_checksum<le64, of_library>},
  };
  return kernels;
}

}  // namespace cowfs::codec
