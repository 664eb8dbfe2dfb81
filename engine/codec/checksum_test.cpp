#include "engine/codec/checksum.h"

#include <gtest/gtest.h>
#include <isa-l/crc.h>
#include <isa-l/crc64.h>

#include <string_view>
#include <vector>

#include "engine/base/random.h"
#include "engine/codec/crc32c.h"
#include "engine/codec/hash.h"

namespace cowfs::codec {
namespace {

ByteSpan bytes(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }

std::vector<std::byte> random_bytes(Random& random, std::size_t count) {
  std::vector<std::byte> data(count);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random.next());
  return data;
}

template <typename Check>
void for_each_kernel(Check check) {
  for (const ChecksumKind kind : checksum_kinds) {
    for (const ChecksumKernel& kernel : checksum_kernels(kind)) {
      if (!native_cpu_features().has(kernel.needs)) continue;
      SCOPED_TRACE(testing::Message() << name(kind) << " by " << kernel.name);
      check(kind, kernel);
    }
  }
}

// RFC 3720, appendix B.4; the catalogue of CRCs (CRC-64/XZ); xxHash's own test vectors.
TEST(Checksum, published_values) {
  const std::vector<std::byte> zeros(32), ones(32, std::byte{0xff});
  EXPECT_EQ(crc32c(bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c(zeros), 0x8a9136aau);
  EXPECT_EQ(crc32c(ones), 0x62a8ab43u);
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(kernel::crc32c_portable(bytes("123456789"), 0), 0xe3069283u);
  EXPECT_EQ(checksum(ChecksumKind::none, zeros), 0u);
  EXPECT_EQ(checksum(ChecksumKind::crc32c, bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(checksum(ChecksumKind::crc64, bytes("123456789")), 0x995dc9bbdf1939fau);
  EXPECT_EQ(checksum(ChecksumKind::crc64, {}), 0u);
  EXPECT_EQ(checksum(ChecksumKind::xxh3, {}), 0x2d06800538d394c2u);
}

TEST(Checksum, every_kernel_agrees_with_the_portable_one_and_with_isal) {
  const u64 seed = 7;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (int round = 0; round < 500; ++round) {
    const std::vector<std::byte> data = random_bytes(random, random.below(5000));
    const ByteSpan part = ByteSpan(data).subspan(random.below(data.size() + 1));
    auto* raw = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(part.data()));
    const u32 isal_crc32c = ~crc32_iscsi(raw, static_cast<int>(part.size()), ~0u);
    const u64 isal_crc64 = crc64_ecma_refl(0, raw, part.size());
    for_each_kernel([&](ChecksumKind kind, const ChecksumKernel& kernel) {
      const u64 actual = kernel.checksum(part);
      ASSERT_EQ(actual, checksum_kernels(kind).back().checksum(part)) << part.size() << " bytes";
      if (kind == ChecksumKind::crc32c) { ASSERT_EQ(actual, isal_crc32c) << part.size() << " bytes"; }
      if (kind == ChecksumKind::crc64) { ASSERT_EQ(actual, isal_crc64) << part.size() << " bytes"; }
    });
  }
}

TEST(Checksum, pieces_of_a_crc32c_chain) {
  const u64 seed = 11;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  const std::vector<std::byte> data = random_bytes(random, 10000);
  const u32 whole = crc32c(data);
  for (u32 bits = 0; bits < 1u << cpu_feature_count; ++bits) {
    limit_cpu_features(CpuFeatures::from_bits(bits));
    const std::size_t cut = random.below(data.size());
    EXPECT_EQ(crc32c(ByteSpan(data).subspan(cut), crc32c(ByteSpan(data).first(cut))), whole) << to_text(cpu_features());
  }
  limit_cpu_features(native_cpu_features());
}

TEST(Checksum, copying_kernels_copy_and_agree) {
  const u64 seed = 13;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (std::size_t blocks = 0; blocks <= 9; ++blocks) {
    const std::size_t skew = random.below(64);  // neither side need be aligned
    const std::vector<std::byte> from = random_bytes(random, blocks * block_bytes + skew);
    for_each_kernel([&](ChecksumKind kind, const ChecksumKernel& kernel) {
      std::vector<std::byte> to(blocks * block_bytes + 1, std::byte{0x5a}),
          expected_copy(from.begin() + static_cast<i64>(skew), from.end());
      expected_copy.push_back(std::byte{0x5a});
      std::vector<std::byte> checksums(blocks * checksum_bytes(kind) + 1, std::byte{0x5a}), expected = checksums;
      checksum_blocks(kind, from.data() + skew, blocks, expected.data());
      kernel.copy_blocks(to.data(), from.data() + skew, blocks, checksums.data());
      EXPECT_EQ(to, expected_copy);
      EXPECT_EQ(checksums, expected);
    });
  }
}

TEST(Checksum, a_wrong_block_is_found_by_every_kind_but_none) {
  const u64 seed = 17;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  constexpr std::size_t blocks = 5;
  std::vector<std::byte> data = random_bytes(random, blocks * block_bytes);
  for (const ChecksumKind kind : checksum_kinds) {
    SCOPED_TRACE(name(kind));
    std::array<std::byte, blocks * checksum_bytes_max> checksums;
    checksum_blocks(kind, data.data(), blocks, checksums.data());
    EXPECT_EQ(first_wrong_block(kind, data.data(), blocks, checksums.data()), blocks);
    const std::size_t at = random.below(data.size());
    data[at] ^= std::byte{0x10};
    const std::size_t expected = kind == ChecksumKind::none ? blocks : at / block_bytes;
    EXPECT_EQ(first_wrong_block(kind, data.data(), blocks, checksums.data()), expected);
  }
}

TEST(Checksum, kinds_are_read_as_they_are_written) {
  for (const ChecksumKind kind : checksum_kinds) EXPECT_EQ(parse_checksum_kind(name(kind)), kind);
  for (const char* wrong : {"", "crc", "CRC32C", "xxh64"}) EXPECT_FALSE(parse_checksum_kind(wrong)) << wrong;
  for (u8 stored = 0; stored < 4; ++stored) EXPECT_TRUE(is_checksum_kind(stored));
  EXPECT_FALSE(is_checksum_kind(4));
}

TEST(Hash, xxh3_is_fixed_for_ever) {  // names on the medium depend on it
  EXPECT_EQ(xxh3(std::string_view{}), 0x2d06800538d394c2u);
  EXPECT_NE(xxh3(std::string_view{"a"}, 1), xxh3(std::string_view{"a"}, 2));
}

}  // namespace
}  // namespace cowfs::codec
