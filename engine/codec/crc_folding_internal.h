// Reflected CRCs of 32 and 64 bits with VPCLMULQDQ and AVX-512: four 64-byte accumulators are folded over the data, 256 bytes
// an iteration, which also leaves room to store what was loaded, so that copying and checksumming cost one pass over memory.
//
// Folding (Gopal et al., "Fast CRC Computation Using PCLMULQDQ"): an accumulator that moves on by D bits is multiplied by x^D
// mod P, as two 64-bit halves, the first of which has the higher powers. A carry-less product of reflected numbers comes out one
// bit short, which the powers below make up for. They are computed rather than listed.
#pragma once
#include <cstring>

#include "engine/base/types.h"
#include "engine/codec/cpu_features.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// False alarms in g++ 12's own intrinsics (their "undefined" vectors) when built with sanitizers.
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

namespace cowfs::codec::folding {

constexpr CpuFeatures needs{CpuFeature::sse42, CpuFeature::avx512, CpuFeature::vpclmulqdq};
constexpr std::size_t step_bytes = 256;

#define COWFS_TARGET_FOLDING __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,vpclmulqdq,pclmul,sse4.2")))

// `State` is u32 or u64; `polynomial` reflected, without its highest term.
template <typename State, State polynomial>
struct Crc {
  // x^n mod P.
  static constexpr State power(unsigned n) {
    State value = State{1} << (8 * sizeof(State) - 1);
    for (unsigned i = 0; i < n; ++i) value = (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0);
    return value;
  }

  struct Factors {
    i64 low, high;
  };
  static constexpr Factors moving_by(unsigned bits) {
    if constexpr (sizeof(State) == 4)
      return {static_cast<i64>(u64{power(bits + 32)} << 1), static_cast<i64>(u64{power(bits - 32)} << 1)};
    else
      return {static_cast<i64>(power(bits + 63)), static_cast<i64>(power(bits - 1))};
  }

  COWFS_TARGET_FOLDING static __m512i fold(__m512i accumulator, __m512i factors, __m512i next) {
    const __m512i low = _mm512_clmulepi64_epi128(accumulator, factors, 0x00);
    const __m512i high = _mm512_clmulepi64_epi128(accumulator, factors, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96);
  }
  COWFS_TARGET_FOLDING static __m512i everywhere(Factors factors) {
    return _mm512_broadcast_i32x4(_mm_set_epi64x(factors.high, factors.low));
  }

  // What the state becomes over `bytes` bytes, a multiple of step_bytes and not 0, as 128 bits that are yet to be reduced. With
  // `copy` they are stored to `to` as well.
  template <bool copy>
  COWFS_TARGET_FOLDING static __m128i fold_all(const std::byte* from, std::size_t bytes, State state, std::byte* to) {
    constexpr Factors moving_2048 = moving_by(2048), moving_512 = moving_by(512);
    const __m512i by_2048 = everywhere(moving_2048), by_512 = everywhere(moving_512);
    __m512i lanes[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      lanes[i] = _mm512_loadu_si512(from + 64 * i);
      if constexpr (copy) _mm512_storeu_si512(to + 64 * i, lanes[i]);
    }
    lanes[0] = _mm512_xor_si512(lanes[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128(static_cast<i64>(u64{state}))));
    for (std::size_t at = step_bytes; at < bytes; at += step_bytes) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m512i next = _mm512_loadu_si512(from + at + 64 * i);
        if constexpr (copy) _mm512_storeu_si512(to + at + 64 * i, next);
        lanes[i] = fold(lanes[i], by_2048, next);
      }
    }
    __m512i all = fold(lanes[0], by_512, lanes[1]);
    all = fold(all, by_512, lanes[2]);
    all = fold(all, by_512, lanes[3]);
    // Its first three 128-bit parts move onto the last.
    constexpr Factors by_384 = moving_by(384), by_256 = moving_by(256), by_128 = moving_by(128);
    const __m512i onto_last =
        _mm512_set_epi64(0, 0, by_128.high, by_128.low, by_256.high, by_256.low, by_384.high, by_384.low);
    const __m512i parts = fold(all, onto_last, _mm512_maskz_mov_epi64(0xc0, all));
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(parts), _mm512_extracti64x4_epi64(parts, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
};

}  // namespace cowfs::codec::folding

#endif
