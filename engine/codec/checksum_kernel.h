// One way to compute a kind of checksum.
#pragma once
#include <cstring>

#include "engine/base/types.h"
#include "engine/codec/cpu_features.h"

namespace cowfs::codec {

struct ChecksumKernel {
  const char* name;
  CpuFeatures needs;
  u64 (*checksum)(ByteSpan data);
  // Copies blocks of block_bytes and stores the checksum of each, packed; ranges do not overlap.
  void (*copy_blocks)(std::byte* to, const std::byte* from, std::size_t blocks, std::byte* checksums);
};

// copy_blocks for kernels that do not do both in one pass: block by block, so that the second pass finds it in the cache.
template <typename Stored, u64 (*checksum)(ByteSpan)>
void copy_then_checksum(std::byte* to, const std::byte* from, std::size_t blocks, std::byte* checksums) {
  for (std::size_t i = 0; i < blocks; ++i) {
    std::memcpy(to + i * block_bytes, from + i * block_bytes, block_bytes);
    const Stored stored = static_cast<Stored>(checksum({from + i * block_bytes, block_bytes}));
    std::memcpy(checksums + i * sizeof stored, &stored, sizeof stored);
  }
}

}  // namespace cowfs::codec
