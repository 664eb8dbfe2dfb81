// Reed-Solomon erasure codes: k data shards and m parity shards of the same length, any m of which may be lost. The data
// stay as they are. Parity shard i is the sum of 2^(i j) times data shard j, so shard 0 is plain parity and shards 0 and 1
// are the P and Q of RAID 6. Within the limits below any k shards determine the rest (erasure_code_test tries them all).
#pragma once
#include "engine/codec/combination.h"

namespace cowfs::codec {

constexpr u32 data_shards_min = 2, data_shards_max = combination_sources_max;
constexpr u32 parity_shards_min = 1, parity_shards_max = combination_outputs_max;

// How some lost shards follow from k others: worked out once, then run over any number of stripes that lost the same.
class ShardRecovery {
 public:
  // `shards`: all k + m, data first; the lost ones are written, `bytes` each, and the others read.
  void run(std::byte* const* shards, std::size_t bytes) const;
  const Combination& combination() const { return combination_; }

 private:
  friend class ErasureCode;
  ShardRecovery(const Combination& combination, const std::array<u8, combination_sources_max>& sources,
                const std::array<u8, combination_outputs_max>& lost)
      : combination_(combination), sources_(sources), lost_(lost) {}

  Combination combination_;
  std::array<u8, combination_sources_max> sources_;  // which shards are read
  std::array<u8, combination_outputs_max> lost_;     // and written
};

class ErasureCode {
 public:
  // Precondition: both within the limits above.
  ErasureCode(u32 data_shards, u32 parity_shards);

  u32 data_shards() const { return encoding_.sources(); }
  u32 parity_shards() const { return encoding_.outputs(); }

  // `data`: k shards, read; `parity`: m shards, written; `bytes` each. Quickest where shards are aligned to 64 bytes.
  void encode(const std::byte* const* data, std::byte* const* parity, std::size_t bytes) const;

  // Bit i of `lost` stands for shard i, data first. Precondition: 1 to m of the k + m are lost.
  ShardRecovery recovery(u32 lost) const;

  const Combination& encoding() const { return encoding_; }

 private:
  Combination encoding_;
};

}  // namespace cowfs::codec
