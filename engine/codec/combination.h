// Sums of products in GF(2^8) over whole buffers: output i is the sum of factor(i, j) times source j, byte by byte. It is all
// that erasure codes compute, for encoding and for recovery alike.
#pragma once
#include <array>
#include <span>

#include "engine/base/types.h"
#include "engine/codec/cpu_features.h"

namespace cowfs::codec {

constexpr u32 combination_sources_max = 16;
constexpr u32 combination_outputs_max = 4;

// The factors, and what kernels derive from them.
class Combination {
 public:
  // `factors`: outputs rows of `sources`. Precondition: 1 to the maximum of each.
  Combination(u32 sources, u32 outputs, std::span<const u8> factors);

  u32 sources() const { return sources_; }
  u32 outputs() const { return outputs_; }
  u8 factor(u32 output, u32 source) const { return factors_[output * sources_ + source]; }

  // Row 0 is a plain sum: all ones.
  bool sum_first() const { return sum_first_; }
  // Row 0 a plain sum, row 1 (if there is one) the powers of two in ascending order, no other row: what RAID 5 and 6 know.
  bool is_raid() const { return is_raid_; }
  const u64* bit_matrices(u32 output) const { return bit_matrices_.data() + output * sources_; }
  const u8* nibble_tables() const { return nibble_tables_.data(); }  // as ec_init_tables makes them

 private:
  static constexpr u32 factors_max = combination_sources_max * combination_outputs_max;
  u32 sources_, outputs_;
  bool sum_first_, is_raid_;
  std::array<u8, factors_max> factors_;
  std::array<u64, factors_max> bit_matrices_;
  std::array<u8, 32 * factors_max> nibble_tables_;
};

// Computes the outputs, `bytes` long each, from the sources; no output overlaps another buffer.
void combine(const Combination& combination, const std::byte* const* sources, std::byte* const* outputs,
             std::size_t bytes);

// The kernels behind it, in order of preference, for tests and benchmarks; the last is the portable one.
namespace kernel {
struct Combine {
  const char* name;
  CpuFeatures needs;
  bool (*suits)(const Combination& combination, const std::byte* const* sources, std::byte* const* outputs,
                std::size_t bytes);
  void (*run)(const Combination& combination, const std::byte* const* sources, std::byte* const* outputs,
              std::size_t bytes);  // precondition: the processor has what it needs, and suits()
};
std::span<const Combine> combine_kernels();
}  // namespace kernel

}  // namespace cowfs::codec
