// The portable table walk is the definition. ISA-L runs three crc32q chains or folds, as the processor allows. With VPCLMULQDQ
// and AVX-512 our own folding copies in the same pass; its last 128 bits go through crc32q.
#include "engine/codec/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

#include "engine/codec/crc_folding_internal.h"
#include "engine/codec/crc_table_internal.h"
#include "engine/codec/vector_state_internal.h"

namespace cowfs::codec {
namespace {

constexpr u32 polynomial = 0x82f63b78;  // reflected

constexpr auto table = crc_table(polynomial);

// No update complements: the state between two pieces.

u32 update_portable(ByteSpan data, u32 state) {
  for (const std::byte byte : data) state = (state >> 8) ^ table[(state ^ static_cast<u8>(byte)) & 0xff];
  return state;
}

u32 update_isal(ByteSpan data, u32 state) {
  constexpr std::size_t piece_max = 1u << 30;  // the length is an int
  while (!data.empty()) {
    const std::size_t piece = std::min(data.size(), piece_max);
    // ISA-L's prototype lacks a const; it only reads.
    auto* bytes = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(data.data()));
    state = crc32_iscsi(bytes, static_cast<int>(piece), state);
    data = data.subspan(piece);
    clear_vector_state();
  }
  return state;
}

template <u32 (*update)(ByteSpan, u32)>
u64 whole(ByteSpan data) {
  return static_cast<u32>(~update(data, ~0u));
}

#if defined(__x86_64__)

constexpr CpuFeatures needs_sse42{CpuFeature::sse42};

__attribute__((target("sse4.2"))) u32 update_sse42(ByteSpan data, u32 state) {
  const std::byte* at = data.data();
  const std::byte* const end = at + data.size();
  for (; at + 8 <= end; at += 8) {
    u64 word;
    std::memcpy(&word, at, 8);
    state = static_cast<u32>(_mm_crc32_u64(state, word));
  }
  for (; at < end; ++at) state = _mm_crc32_u8(state, static_cast<u8>(*at));
  return state;
}

// Three blocks side by side: crc32q takes three cycles and one can start each cycle.
__attribute__((target("sse4.2"))) void copy_blocks_sse42(std::byte* to, const std::byte* from, std::size_t blocks,
                                                         std::byte* checksums) {
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
    for (std::size_t i = 0; i < 3; ++i) {
      const le32 checksum = ~static_cast<u32>(states[i]);
      std::memcpy(checksums + (block + i) * sizeof checksum, &checksum, sizeof checksum);
    }
  }
  copy_then_checksum<le32, whole<update_sse42>>(to + block * block_bytes, from + block * block_bytes, blocks - block,
                                                checksums + block * sizeof(le32));
}

// Below this the call through ISA-L's own dispatch is as quick.
constexpr std::size_t folding_bytes_min = 512;

template <bool copy>
COWFS_TARGET_FOLDING u32 fold(const std::byte* from, std::size_t bytes, u32 state, std::byte* to) {
  const __m128i rest = folding::Crc<u32, polynomial>::fold_all<copy>(from, bytes, state, to);
  const u64 first = _mm_crc32_u64(0, static_cast<u64>(_mm_cvtsi128_si64(rest)));
  return static_cast<u32>(_mm_crc32_u64(first, static_cast<u64>(_mm_extract_epi64(rest, 1))));
}

u32 update_folding(ByteSpan data, u32 state) {
  if (data.size() < folding_bytes_min) return update_isal(data, state);
  const std::size_t folded = round_down(data.size(), folding::step_bytes);
  return update_isal(data.subspan(folded), fold<false>(data.data(), folded, state, nullptr));
}

COWFS_TARGET_FOLDING void copy_blocks_folding(std::byte* to, const std::byte* from, std::size_t blocks,
                                              std::byte* checksums) {
  for (std::size_t i = 0; i < blocks; ++i) {
    const le32 checksum = ~fold<true>(from + i * block_bytes, block_bytes, ~0u, to + i * block_bytes);
    std::memcpy(checksums + i * sizeof checksum, &checksum, sizeof checksum);
  }
}

#endif

}  // namespace

namespace kernel {

u32 crc32c_portable(ByteSpan data, u32 seed) { return ~update_portable(data, ~seed); }

std::span<const ChecksumKernel> crc32c_kernels() {
  // ISA-L's own dispatch takes whatever the processor has, so it is for processors of which nothing was taken away.
  static const std::array kernels = {
#if defined(__x86_64__)
    ChecksumKernel{"folding-avx512", folding::needs, whole<update_folding>, copy_blocks_folding},
    ChecksumKernel{"isal", native_cpu_features(), whole<update_isal>, copy_then_checksum<le32, whole<update_isal>>},
    ChecksumKernel{"sse42", needs_sse42, whole<update_sse42>, copy_blocks_sse42},
#else
    ChecksumKernel{"isal", native_cpu_features(), whole<update_isal>, copy_then_checksum<le32, whole<update_isal>>},
#endif
    ChecksumKernel{"portable", {}, whole<update_portable>, copy_then_checksum<le32, whole<update_portable>>},
  };
  return kernels;
}

}  // namespace kernel

u32 crc32c(ByteSpan data, u32 seed) {
  const CpuFeatures usable = cpu_features();
#if defined(__x86_64__)
  if (usable.has(folding::needs)) return ~update_folding(data, ~seed);
#endif
  if (usable == native_cpu_features()) return ~update_isal(data, ~seed);
#if defined(__x86_64__)
  if (usable.has(needs_sse42)) return ~update_sse42(data, ~seed);
#endif
  return ~update_portable(data, ~seed);
}

}  // namespace cowfs::codec
