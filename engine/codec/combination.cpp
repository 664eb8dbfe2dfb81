#include "engine/codec/combination.h"

#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>

#include <algorithm>
#include <bit>

#include "engine/base/assert.h"
#include "engine/codec/combination_internal.h"
#include "engine/codec/galois.h"
#include "engine/codec/vector_state_internal.h"

namespace cowfs::codec {

Combination::Combination(u32 sources, u32 outputs, std::span<const u8> factors) : sources_(sources), outputs_(outputs) {
  assert(sources >= 1 && sources <= combination_sources_max && outputs >= 1 && outputs <= combination_outputs_max);
  assert(factors.size() == sources * outputs);
  std::copy(factors.begin(), factors.end(), factors_.begin());
  std::transform(factors.begin(), factors.end(), bit_matrices_.begin(), galois::bit_matrix);
  ec_init_tables(static_cast<int>(sources), static_cast<int>(outputs), factors_.data(), nibble_tables_.data());

  sum_first_ = std::all_of(factors.begin(), factors.begin() + sources, [](u8 factor) { return factor == 1; });
  is_raid_ = sum_first_ && outputs <= 2;
  u8 power = 1;
  for (u32 source = 0; outputs == 2 && source < sources; ++source, power = galois::doubled(power))
    is_raid_ = is_raid_ && factor(1, source) == power;
}

namespace kernel {
namespace {

using Sources = const std::byte* const*;
using Outputs = std::byte* const*;

bool suits_all(const Combination&, Sources, Outputs, std::size_t) { return true; }

// Portable. Horner's rule over the bits of the factors: a sum is doubled, then takes the sources whose factor has the next bit.
// Eight bytes are doubled at once.

constexpr std::size_t chunk_words = 16;
using Chunk = std::array<u64, chunk_words>;

void double_bytes(Chunk& chunk) {
  for (u64& word : chunk) word = (word & 0x7f7f7f7f7f7f7f7f) << 1 ^ (word >> 7 & 0x0101010101010101) * 0x1d;
}

void add_bytes(Chunk& chunk, const std::byte* from, std::size_t bytes) {
  Chunk words{};
  std::memcpy(words.data(), from, bytes);
  for (std::size_t i = 0; i < chunk_words; ++i) chunk[i] ^= words[i];
}

// Bytes [at, at + bytes) of one output; at most a chunk.
[[gnu::always_inline]] inline void combine_chunk(const Combination& combination, u32 output, Sources sources,
                                                 std::byte* to, std::size_t at, std::size_t bytes) {
  u32 bits_used = 0;
  for (u32 source = 0; source < combination.sources(); ++source) bits_used |= combination.factor(output, source);
  Chunk sum{};
  for (u32 bit = static_cast<u32>(std::bit_width(bits_used)); bit-- > 0;) {
    double_bytes(sum);
    for (u32 source = 0; source < combination.sources(); ++source)
      if ((combination.factor(output, source) >> bit & 1) != 0) add_bytes(sum, sources[source] + at, bytes);
  }
  std::memcpy(to + at, sum.data(), bytes);
}

void combine_portable(const Combination& combination, Sources sources, Outputs outputs, std::size_t bytes) {
  const std::size_t whole = round_down(bytes, sizeof(Chunk));
  for (u32 output = 0; output < combination.outputs(); ++output) {
    for (std::size_t at = 0; at < whole; at += sizeof(Chunk))
      combine_chunk(combination, output, sources, outputs[output], at, sizeof(Chunk));
    if (whole != bytes) combine_chunk(combination, output, sources, outputs[output], whole, bytes - whole);
  }
}

// ISA-L. Its prototypes lack const.

using EncodeData = void (*)(int, int, int, unsigned char*, unsigned char**, unsigned char**);
using RaidGenerate = int (*)(int, int, void**);
constexpr std::size_t isal_bytes_max = 1u << 30;  // lengths are an int

bool suits_isal(const Combination&, Sources, Outputs, std::size_t bytes) { return bytes <= isal_bytes_max; }

template <EncodeData encode>
void combine_isal(const Combination& combination, Sources sources, Outputs outputs, std::size_t bytes) {
  encode(static_cast<int>(bytes), static_cast<int>(combination.sources()), static_cast<int>(combination.outputs()),
         const_cast<unsigned char*>(combination.nibble_tables()),
         reinterpret_cast<unsigned char**>(const_cast<std::byte**>(sources)),
         reinterpret_cast<unsigned char**>(const_cast<std::byte**>(outputs)));
  clear_vector_state();
}

bool suits_isal_raid(const Combination& combination, Sources sources, Outputs outputs, std::size_t bytes) {
  constexpr u64 alignment = 64;
  if (!combination.is_raid() || combination.sources() < 2) return false;
  u64 low_bits = bytes;
  for (u32 i = 0; i < combination.sources(); ++i) low_bits |= reinterpret_cast<std::uintptr_t>(sources[i]);
  for (u32 i = 0; i < combination.outputs(); ++i) low_bits |= reinterpret_cast<std::uintptr_t>(outputs[i]);
  return low_bits % alignment == 0 && bytes <= isal_bytes_max;
}

template <RaidGenerate generate_sum, RaidGenerate generate_both>
void combine_isal_raid(const Combination& combination, Sources sources, Outputs outputs, std::size_t bytes) {
  std::array<void*, combination_sources_max + combination_outputs_max> buffers;
  for (u32 i = 0; i < combination.sources(); ++i) buffers[i] = const_cast<std::byte*>(sources[i]);
  for (u32 i = 0; i < combination.outputs(); ++i) buffers[combination.sources() + i] = outputs[i];
  const RaidGenerate generate = combination.outputs() == 1 ? generate_sum : generate_both;
  const int failed = generate(static_cast<int>(combination.sources() + combination.outputs()), static_cast<int>(bytes),
                              buffers.data());
  clear_vector_state();
  assert(failed == 0);
}

}  // namespace

std::span<const Combine> combine_kernels() {
  // ISA-L's own dispatch takes whatever the processor has, so it is for processors of which nothing was taken away.
  static const std::array kernels = {
#if defined(__x86_64__)
    Combine{"gfni-avx512", {CpuFeature::gfni, CpuFeature::avx512}, suits_all, combine_gfni_avx512},
#endif
    Combine{"isal-raid", native_cpu_features(), suits_isal_raid, combine_isal_raid<xor_gen, pq_gen>},
    Combine{"isal", native_cpu_features(), suits_isal, combine_isal<ec_encode_data>},
#if defined(__x86_64__)
    Combine{"isal-raid-avx2", {CpuFeature::avx2}, suits_isal_raid, combine_isal_raid<xor_gen_avx, pq_gen_avx2>},
    Combine{"isal-avx2", {CpuFeature::avx2}, suits_isal, combine_isal<ec_encode_data_avx2>},
    Combine{"isal-sse", {CpuFeature::sse42}, suits_isal, combine_isal<ec_encode_data_sse>},
#endif
    Combine{"portable", {}, suits_all, combine_portable},
  };
  return kernels;
}

}  // namespace kernel

void combine(const Combination& combination, const std::byte* const* sources, std::byte* const* outputs,
             std::size_t bytes) {
  const CpuFeatures usable = cpu_features();
  for (const kernel::Combine& candidate : kernel::combine_kernels()) {
    if (!usable.has(candidate.needs) || !candidate.suits(combination, sources, outputs, bytes)) continue;
    return candidate.run(combination, sources, outputs, bytes);
  }
}

}  // namespace cowfs::codec
