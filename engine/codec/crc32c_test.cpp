#include "engine/codec/crc32c.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "engine/base/random.h"
#include "engine/codec/hash.h"

namespace cowfs::codec {
namespace {

ByteSpan bytes(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }

std::vector<std::byte> random_bytes(Random& random, std::size_t count) {
  std::vector<std::byte> data(count);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random.next());
  return data;
}

// RFC 3720, appendix B.4, and the usual check value.
TEST(Crc32c, published_values) {
  const std::vector<std::byte> zeros(32), ones(32, std::byte{0xff});
  EXPECT_EQ(crc32c(bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c(zeros), 0x8a9136aau);
  EXPECT_EQ(crc32c(ones), 0x62a8ab43u);
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(kernel::crc32c_portable(bytes("123456789"), 0), 0xe3069283u);
}

TEST(Crc32c, every_kernel_agrees_with_the_portable_one) {
  const u64 seed = 7;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (int round = 0; round < 500; ++round) {
    const std::vector<std::byte> data = random_bytes(random, random.below(5000));
    const ByteSpan part = ByteSpan(data).subspan(random.below(data.size() + 1));
    const u32 start = static_cast<u32>(random.next());
    const u32 expected = kernel::crc32c_portable(part, start);
    ASSERT_EQ(kernel::crc32c_isal(part, start), expected) << part.size();
    ASSERT_EQ(crc32c(part, start), expected) << part.size();
    if (!kernel::has_avx512_folding()) continue;
    ASSERT_EQ(kernel::crc32c_avx512(part, start), expected) << part.size();
  }
}

TEST(Crc32c, pieces_chain) {
  Random random(11);
  const std::vector<std::byte> data = random_bytes(random, 10000);
  for (int round = 0; round < 100; ++round) {
    const std::size_t cut = random.below(data.size());
    EXPECT_EQ(crc32c(ByteSpan(data).subspan(cut), crc32c(ByteSpan(data).first(cut))), crc32c(data));
  }
}

TEST(Crc32c, copying_kernels_copy_and_agree) {
  using Kernel = void (*)(std::byte*, const std::byte*, std::size_t, le32*);
  struct Case {
    const char* name;
    Kernel kernel;
    bool usable;
  };
  Random random(13);
  for (const Case& c :
       {Case{"isal", kernel::copy_blocks_isal, true}, Case{"sse42", kernel::copy_blocks_sse42, kernel::has_sse42()},
        Case{"avx512", kernel::copy_blocks_avx512, kernel::has_avx512_folding()},
        Case{"chosen", copy_blocks_crc32c, true}}) {
    if (!c.usable) continue;
    SCOPED_TRACE(c.name);
    for (std::size_t blocks = 0; blocks <= 9; ++blocks) {
      const std::size_t skew = random.below(64);  // neither side need be aligned
      const std::vector<std::byte> from = random_bytes(random, blocks * block_bytes + skew);
      std::vector<std::byte> to(blocks * block_bytes + 1, std::byte{0x5a}), expected_copy = to;
      std::vector<le32> checksums(blocks), expected(blocks);
      kernel::copy_blocks_portable(expected_copy.data(), from.data() + skew, blocks, expected.data());
      c.kernel(to.data(), from.data() + skew, blocks, checksums.data());
      EXPECT_EQ(to, expected_copy);
      for (std::size_t i = 0; i < blocks; ++i) EXPECT_EQ(u32{checksums[i]}, u32{expected[i]}) << i;
      blocks_crc32c(from.data() + skew, blocks, checksums.data());
      for (std::size_t i = 0; i < blocks; ++i) EXPECT_EQ(u32{checksums[i]}, u32{expected[i]}) << i;
    }
  }
}

TEST(Hash, xxh3_is_fixed_for_ever) {  // names on the medium depend on it
  EXPECT_EQ(xxh3(std::string_view{}), 0x2d06800538d394c2u);
  EXPECT_NE(xxh3(std::string_view{"a"}, 1), xxh3(std::string_view{"a"}, 2));
}

}  // namespace
}  // namespace cowfs::codec
