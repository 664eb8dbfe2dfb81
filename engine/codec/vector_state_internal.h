// ISA-L and libxxhash, as Debian builds them, return with the upper halves of the vector registers in use. Until those are cleared the
// processor runs slower, whatever it runs, in the kernel as well: 4k random writes with xxh3 took 1.3 times the time. Our own
// kernels need none of this, since the compiler clears them.
#pragma once
#include "engine/codec/cpu_features.h"

namespace cowfs::codec {

// After each call of a function of theirs.
inline void clear_vector_state() {
#if defined(__x86_64__)
  if (native_cpu_features().has({CpuFeature::avx2})) asm volatile("vzeroupper");
#endif
}

}  // namespace cowfs::codec
