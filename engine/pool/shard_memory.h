// Memory for all shards of some stripes, each shard's blocks in one piece. What it holds at first is not known. Memory of the
// usual size comes from the core's own list and goes back to it.
#pragma once
#include <array>
#include <vector>

#include "engine/codec/erasure_code.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::pool {

// Of one core.
using SpareMemory = std::vector<device::AlignedBuffer>;

class ShardMemory {
 public:
  ShardMemory(u32 shards, u64 stripes, SpareMemory& spare);
  ~ShardMemory();
  ShardMemory(const ShardMemory&) = delete;
  ShardMemory& operator=(const ShardMemory&) = delete;

  std::byte* operator[](u32 shard) { return pointers_[shard]; }
  std::byte* const* data() { return pointers_.data(); }
  std::byte* const* parity(u32 data_shards) { return pointers_.data() + data_shards; }

 private:
  SpareMemory& spare_;
  device::AlignedBuffer memory_;
  std::array<std::byte*, codec::combination_sources_max + codec::combination_outputs_max> pointers_{};
};

}  // namespace cowfs::pool
