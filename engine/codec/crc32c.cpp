// Three kernels. The portable table walk is the definition. ISA-L runs three crc32q chains (8 bytes a cycle) and is the
// choice on hosts without AVX-512. With VPCLMULQDQ four 64-byte accumulators are folded over the data, 256 bytes an
// iteration, which also leaves room to store what was loaded: copying and checksumming cost one pass over memory.
//
// Folding (Gopal et al., "Fast CRC Computation Using PCLMULQDQ"): an accumulator that moves on by D bits is multiplied
// by x^D mod P, as two 64-bit halves; in the reflected form the constants are x^(D+32) and x^(D-32), shifted left by
// one. The last 128 bits go through crc32q. The constants are computed below rather than listed.
#include "engine/codec/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// False alarms in g++ 12's own intrinsics (their "undefined" vectors) when built with sanitizers.
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#endif

namespace cowfs::codec {
namespace {

constexpr u32 polynomial = 0x82f63b78;  // reflected

constexpr std::array<u32, 256> make_table() {
  std::array<u32, 256> table{};
  for (u32 i = 0; i < 256; ++i) {
    u32 value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0);
    table[i] = value;
  }
  return table;
}
constexpr std::array<u32, 256> table = make_table();

unsigned char* isal_bytes(const std::byte* data) {
  // ISA-L's prototype lacks a const; it only reads.
  return reinterpret_cast<unsigned char*>(const_cast<std::byte*>(data));
}

// Neither complements: the state between two pieces.
u32 update_isal(ByteSpan data, u32 state) {
  constexpr std::size_t piece_max = 1u << 30;  // the length is an int
  while (!data.empty()) {
    const std::size_t piece = std::min(data.size(), piece_max);
    state = crc32_iscsi(isal_bytes(data.data()), static_cast<int>(piece), state);
    data = data.subspan(piece);
  }
  return state;
}

#if defined(__x86_64__)

// x^n mod P, reflected, as a folding constant.
constexpr i64 fold_constant(unsigned n) {
  u32 value = 0x80000000;
  for (unsigned i = 0; i < n; ++i) value = (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0);
  return static_cast<i64>(static_cast<u64>(value) << 1);
}

constexpr std::size_t fold_bytes = 256;

#define COWFS_TARGET_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,vpclmulqdq,pclmul,sse4.2")))

COWFS_TARGET_AVX512 inline __m512i fold(__m512i accumulator, __m512i constants, __m512i next) {
  const __m512i low = _mm512_clmulepi64_epi128(accumulator, constants, 0x00);
  const __m512i high = _mm512_clmulepi64_epi128(accumulator, constants, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);
}

// The state after `bytes` bytes, a multiple of fold_bytes and not 0. With `copy` they are stored to `to` as well.
template <bool copy>
COWFS_TARGET_AVX512 inline u32 update_avx512(const std::byte* from, std::size_t bytes, u32 state, std::byte* to) {
  const __m512i by_2048 = _mm512_broadcast_i32x4(_mm_set_epi64x(fold_constant(2048 - 32), fold_constant(2048 + 32)));
  const __m512i by_512 = _mm512_broadcast_i32x4(_mm_set_epi64x(fold_constant(512 - 32), fold_constant(512 + 32)));
  __m512i lanes[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    lanes[i] = _mm512_loadu_si512(from + 64 * i);
    if constexpr (copy) _mm512_storeu_si512(to + 64 * i, lanes[i]);
  }
  lanes[0] = _mm512_xor_si512(lanes[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(state))));
  for (std::size_t at = fold_bytes; at < bytes; at += fold_bytes) {
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
  const __m512i onto_last =
      _mm512_set_epi64(0, 0, fold_constant(128 - 32), fold_constant(128 + 32), fold_constant(256 - 32),
                       fold_constant(256 + 32), fold_constant(384 - 32), fold_constant(384 + 32));
  const __m512i parts = fold(all, onto_last, _mm512_maskz_mov_epi64(0xc0, all));
  const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(parts), _mm512_extracti64x4_epi64(parts, 1));
  const __m128i rest = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const u64 first = _mm_crc32_u64(0, static_cast<u64>(_mm_cvtsi128_si64(rest)));
  return static_cast<u32>(_mm_crc32_u64(first, static_cast<u64>(_mm_extract_epi64(rest, 1))));
}

#endif

}  // namespace

namespace kernel {

u32 crc32c_portable(ByteSpan data, u32 seed) {
  u32 state = ~seed;
  for (const std::byte byte : data) state = (state >> 8) ^ table[(state ^ static_cast<u8>(byte)) & 0xff];
  return ~state;
}

u32 crc32c_isal(ByteSpan data, u32 seed) { return ~update_isal(data, ~seed); }

void copy_blocks_portable(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums) {
  for (std::size_t i = 0; i < blocks; ++i) {
    std::memcpy(to + i * block_bytes, from + i * block_bytes, block_bytes);
    checksums[i] = crc32c_portable({from + i * block_bytes, block_bytes}, 0);
  }
}

void copy_blocks_isal(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums) {
  for (std::size_t i = 0; i < blocks; ++i) {
    std::memcpy(to + i * block_bytes, from + i * block_bytes, block_bytes);
    checksums[i] = crc32c_isal({from + i * block_bytes, block_bytes}, 0);
  }
}

#if defined(__x86_64__)

bool has_sse42() { return __builtin_cpu_supports("sse4.2"); }
bool has_avx512_folding() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("vpclmulqdq") && has_sse42();
}

// Three blocks side by side: crc32q takes three cycles and one can start each cycle.
__attribute__((target("sse4.2"))) void copy_blocks_sse42(std::byte* to, const std::byte* from, std::size_t blocks,
                                                         le32* checksums) {
  std::size_t block = 0;
  for (; block + 3 <= blocks; block += 3) {
    const std::byte* source = from + block * block_bytes;
    std::byte* target = to + block * block_bytes;
    u64 states[3] = {0xffffffff, 0xffffffff, 0xffffffff};
    for (std::size_t at = 0; at < block_bytes; at += 8) {
#pragma GCC unroll 3
      for (std::size_t i = 0; i < 3; ++i) {
        u64 word;
        std::memcpy(&word, source + i * block_bytes + at, 8);
        std::memcpy(target + i * block_bytes + at, &word, 8);
        states[i] = _mm_crc32_u64(states[i], word);
      }
    }
    for (std::size_t i = 0; i < 3; ++i) checksums[block + i] = ~static_cast<u32>(states[i]);
  }
  copy_blocks_isal(to + block * block_bytes, from + block * block_bytes, blocks - block, checksums + block);
}

COWFS_TARGET_AVX512 void copy_blocks_avx512(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums) {
  for (std::size_t i = 0; i < blocks; ++i)
    checksums[i] = ~update_avx512<true>(from + i * block_bytes, block_bytes, ~0u, to + i * block_bytes);
}

COWFS_TARGET_AVX512 u32 crc32c_avx512(ByteSpan data, u32 seed) {
  const std::size_t folded = round_down(data.size(), fold_bytes);
  u32 state = ~seed;
  if (folded != 0) state = update_avx512<false>(data.data(), folded, state, nullptr);
  return ~update_isal(data.subspan(folded), state);
}

#else

bool has_sse42() { return false; }
bool has_avx512_folding() { return false; }
void copy_blocks_sse42(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums) {
  copy_blocks_isal(to, from, blocks, checksums);
}
void copy_blocks_avx512(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums) {
  copy_blocks_isal(to, from, blocks, checksums);
}
u32 crc32c_avx512(ByteSpan data, u32 seed) { return crc32c_isal(data, seed); }

#endif

}  // namespace kernel

namespace {
// Below this the call through ISA-L's own dispatch is as quick.
constexpr std::size_t folding_bytes_min = 512;

bool use_folding() {
  static const bool use = kernel::has_avx512_folding();
  return use;
}

bool use_sse42() {
  static const bool use = kernel::has_sse42();
  return use;
}
}  // namespace

u32 crc32c(ByteSpan data, u32 seed) {
  if (data.size() >= folding_bytes_min && use_folding()) return kernel::crc32c_avx512(data, seed);
  return kernel::crc32c_isal(data, seed);
}

void copy_blocks_crc32c(std::byte* to, const std::byte* from, std::size_t blocks, le32* checksums) {
  if (use_folding()) return kernel::copy_blocks_avx512(to, from, blocks, checksums);
  if (use_sse42()) return kernel::copy_blocks_sse42(to, from, blocks, checksums);
  kernel::copy_blocks_isal(to, from, blocks, checksums);
}

void blocks_crc32c(const std::byte* from, std::size_t blocks, le32* checksums) {
  for (std::size_t i = 0; i < blocks; ++i) checksums[i] = crc32c({from + i * block_bytes, block_bytes});
}

}  // namespace cowfs::codec
