// GF2P8AFFINEQB multiplies every byte of a vector by a matrix of 8 x 8 bits, which is what a factor is: one instruction for a
// product, where ISA-L 2.30 takes two table look-ups and the splitting of nibbles. Four vectors of each output are summed in
// registers over all sources, so outputs are written once and every source byte is read once. A first row of ones needs no
// products.
#include <algorithm>

#include "engine/codec/combination_internal.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// False alarms in g++ 12's own intrinsics (their "undefined" vectors) when built with sanitizers.
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

namespace cowfs::codec::kernel {
namespace {

using Sources = const std::byte* const*;
using Outputs = std::byte* const*;

constexpr u32 step_vectors = 4;

#define COWFS_GFNI_AVX512 __attribute__((target("gfni,avx512f,avx512bw,avx512vl,avx512dq")))

// Bytes [at, bytes) of every output, whole steps only; returns where it ended.
template <u32 outputs, bool sum_first, u32 vectors>
COWFS_GFNI_AVX512 std::size_t steps_avx512(const Combination& combination, Sources from, Outputs to, std::size_t at,
                                           std::size_t bytes) {
  constexpr std::size_t step_bytes = vectors * sizeof(__m512i);
  const u32 sources = combination.sources();
  for (; at + step_bytes <= bytes; at += step_bytes) {
    __m512i sums[outputs][vectors];
#pragma GCC unroll 4
    for (u32 output = 0; output < outputs; ++output)
#pragma GCC unroll 4
      for (u32 i = 0; i < vectors; ++i) sums[output][i] = _mm512_setzero_si512();
    for (u32 source = 0; source < sources; ++source) {
      __m512i data[vectors];
#pragma GCC unroll 4
      for (u32 i = 0; i < vectors; ++i) data[i] = _mm512_loadu_si512(from[source] + at + i * sizeof(__m512i));
#pragma GCC unroll 4
      for (u32 output = 0; output < outputs; ++output) {
        const bool sum_only = sum_first && output == 0;
        const __m512i matrix = _mm512_set1_epi64(static_cast<i64>(combination.bit_matrices(output)[source]));
#pragma GCC unroll 4
        for (u32 i = 0; i < vectors; ++i)
          sums[output][i] =
              _mm512_xor_si512(sums[output][i], sum_only ? data[i] : _mm512_gf2p8affine_epi64_epi8(data[i], matrix, 0));
      }
    }
#pragma GCC unroll 4
    for (u32 output = 0; output < outputs; ++output)
#pragma GCC unroll 4
      for (u32 i = 0; i < vectors; ++i) _mm512_storeu_si512(to[output] + at + i * sizeof(__m512i), sums[output][i]);
  }
  return at;
}

// The rest, less than a vector.
template <u32 outputs>
COWFS_GFNI_AVX512 void tail_avx512(const Combination& combination, Sources from, Outputs to, std::size_t at,
                                   std::size_t bytes) {
  if (at == bytes) return;
  const __mmask64 mask = ~0ull >> (64 - (bytes - at));
  for (u32 output = 0; output < outputs; ++output) {
    __m512i sum = _mm512_setzero_si512();
    for (u32 source = 0; source < combination.sources(); ++source) {
      const __m512i matrix = _mm512_set1_epi64(static_cast<i64>(combination.bit_matrices(output)[source]));
      const __m512i data = _mm512_maskz_loadu_epi8(mask, from[source] + at);
      sum = _mm512_xor_si512(sum, _mm512_gf2p8affine_epi64_epi8(data, matrix, 0));
    }
    _mm512_mask_storeu_epi8(to[output] + at, mask, sum);
  }
}

template <u32 outputs, bool sum_first>
COWFS_GFNI_AVX512 void all_avx512(const Combination& combination, Sources from, Outputs to, std::size_t bytes) {
  std::size_t at = steps_avx512<outputs, sum_first, step_vectors>(combination, from, to, 0, bytes);
  at = steps_avx512<outputs, sum_first, 1>(combination, from, to, at, bytes);
  tail_avx512<outputs>(combination, from, to, at, bytes);
}

}  // namespace

void combine_gfni_avx512(const Combination& combination, const std::byte* const* sources, std::byte* const* outputs,
                         std::size_t bytes) {
  using All = void (*)(const Combination&, Sources, Outputs, std::size_t);
  static constexpr All all[combination_outputs_max][2] = {{all_avx512<1, false>, all_avx512<1, true>},
                                                          {all_avx512<2, false>, all_avx512<2, true>},
                                                          {all_avx512<3, false>, all_avx512<3, true>},
                                                          {all_avx512<4, false>, all_avx512<4, true>}};
  all[combination.outputs() - 1][combination.sum_first() ? 1 : 0](combination, sources, outputs, bytes);
}

}  // namespace cowfs::codec::kernel

#endif
