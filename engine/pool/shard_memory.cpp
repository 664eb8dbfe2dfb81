#include "engine/pool/shard_memory.h"

namespace cowfs::pool {

namespace {
constexpr u64 usual_bytes = 1 * mib;  // a write buffer in the shortest stripes, with their parity
constexpr std::size_t spares_max = 8;
}  // namespace

ShardMemory::ShardMemory(u32 shards, u64 stripes, SpareMemory& spare) : spare_(spare) {
  const u64 shard_bytes = stripes * block_bytes;
  if (shards * shard_bytes > usual_bytes || spare_.empty()) {
    memory_ = device::AlignedBuffer(std::max(shards * shard_bytes, usual_bytes));
  } else {
    memory_ = std::move(spare_.back());
    spare_.pop_back();
  }
  for (u32 shard = 0; shard < shards; ++shard) pointers_[shard] = memory_.data() + shard * shard_bytes;
}

ShardMemory::~ShardMemory() {
  if (memory_.size() == usual_bytes && spare_.size() < spares_max) spare_.push_back(std::move(memory_));
}

}  // namespace cowfs::pool
