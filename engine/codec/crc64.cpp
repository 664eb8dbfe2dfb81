// The portable table walk is the definition. With VPCLMULQDQ and AVX-512 our own folding copies in the same pass; ISA-L's
// folds, too, and is as quick without a copy.
//
// The last 128 bits R, whose first half H has the higher powers, stand for R x^64 mod P. First H moves on by 128 bits, so
// that 128 bits are left; then Barrett: the quotient by P is found as a product with mu = x^128 / P.
#include "engine/codec/crc64.h"

#include <isa-l/crc64.h>

#include "engine/codec/crc_folding_internal.h"
#include "engine/codec/crc_table_internal.h"
#include "engine/codec/vector_state_internal.h"

namespace cowfs::codec {
namespace {

constexpr u64 polynomial = 0xc96c5795d7870f42;  // reflected

constexpr auto table = crc_table(polynomial);

u64 crc64_portable(ByteSpan data) {
  u64 state = ~0ull;
  for (const std::byte byte : data) state = (state >> 8) ^ table[(state ^ static_cast<u8>(byte)) & 0xff];
  return ~state;
}

u64 crc64_isal_from(ByteSpan data, u64 seed) {
  if (data.empty()) return seed;
  const u64 checksum = crc64_ecma_refl(seed, reinterpret_cast<const unsigned char*>(data.data()), data.size());
  clear_vector_state();
  return checksum;
}
u64 crc64_isal(ByteSpan data) { return crc64_isal_from(data, 0); }

#if defined(__x86_64__)

using Crc = folding::Crc<u64, polynomial>;

// The terms of x^128 / P from x^64 down to x^1, reflected.
constexpr u64 quotient_of_x128() {
  u64 quotient = 0, rest = 0;  // of the division so far, the rest reflected and without its highest term
  for (unsigned power = 128; power >= 64; --power) {
    // The rest times x, plus the next term of the dividend: only the first is not 0.
    const bool carry = power == 128 || (rest & 1) != 0;
    rest >>= power == 128 ? 0 : 1;
    if (carry) rest ^= polynomial;
    const unsigned term = power - 64;
    if (carry && term > 0) quotient |= 1ull << (64 - term);
  }
  return quotient;
}

constexpr u64 polynomial_from_x1 = polynomial << 1 | 1;  // from x^64 down to x^1, reflected

COWFS_TARGET_FOLDING u64 reduce(__m128i rest) {
  const __m128i factors = _mm_set_epi64x(Crc::moving_by(64).low, 0);  // x^127, and a product adds one
  const __m128i moved = _mm_clmulepi64_si128(rest, factors, 0x10);
  const __m128i all = _mm_xor_si128(moved, _mm_srli_si128(rest, 8));
  // `all` is H x^128 + L x^64, of which L x^64 has no low half: its 64 bits stand in the half of the higher powers.
  const __m128i constants = _mm_set_epi64x(static_cast<i64>(polynomial_from_x1), static_cast<i64>(quotient_of_x128()));
  const __m128i quotient = _mm_clmulepi64_si128(all, constants, 0x00);
  const __m128i product = _mm_clmulepi64_si128(quotient, constants, 0x10);
  const u64 low = static_cast<u64>(_mm_extract_epi64(all, 1)) ^ static_cast<u64>(_mm_extract_epi64(product, 1));
  return low ^ static_cast<u64>(_mm_cvtsi128_si64(quotient));
}

template <bool copy>
COWFS_TARGET_FOLDING u64 fold(const std::byte* from, std::size_t bytes, std::byte* to) {
  return ~reduce(Crc::fold_all<copy>(from, bytes, ~0ull, to));
}

u64 crc64_folding(ByteSpan data) {
  const std::size_t folded = round_down(data.size(), folding::step_bytes);
  if (folded == 0) return crc64_isal(data);
  return crc64_isal_from(data.subspan(folded), fold<false>(data.data(), folded, nullptr));
}

COWFS_TARGET_FOLDING void copy_blocks_folding(std::byte* to, const std::byte* from, std::size_t blocks,
                                              std::byte* checksums) {
  for (std::size_t i = 0; i < blocks; ++i) {
    const le64 checksum = fold<true>(from + i * block_bytes, block_bytes, to + i * block_bytes);
    std::memcpy(checksums + i * sizeof checksum, &checksum, sizeof checksum);
  }
}

#endif

}  // namespace

std::span<const ChecksumKernel> kernel::crc64_kernels() {
  // ISA-L's own dispatch takes whatever the processor has, so it is for processors of which nothing was taken away.
  static const std::array kernels = {
#if defined(__x86_64__)
    ChecksumKernel{"folding-avx512", folding::needs, crc64_folding, copy_blocks_folding},
#endif
    ChecksumKernel{"isal", native_cpu_features(), crc64_isal, copy_then_checksum<le64, crc64_isal>},
    ChecksumKernel{"portable", {}, crc64_portable, copy_then_checksum<le64, crc64_portable>},
  };
  return kernels;
}

}  // namespace cowfs::codec
