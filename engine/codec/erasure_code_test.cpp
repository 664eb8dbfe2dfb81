#include "engine/codec/erasure_code.h"

#include <gtest/gtest.h>
#include <isa-l/erasure_code.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "engine/base/random.h"
#include "engine/codec/galois.h"

namespace cowfs::codec {
namespace {

std::vector<std::byte> random_bytes(Random& random, std::size_t count) {
  std::vector<std::byte> data(count);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random.next());
  return data;
}

// Shards of any length and alignment, in one piece of memory with a canary behind each.
class Shards {
 public:
  Shards(Random& random, u32 count, std::size_t bytes, std::size_t skew) : bytes_(bytes), count_(count) {
    const std::size_t stride = round_up(bytes + 1, 64);
    memory_ = random_bytes(random, count * stride + skew + 64);
    auto* first = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<u64>(memory_.data()), 64)) + skew;
    for (u32 i = 0; i < count; ++i) pointers_.push_back(first + i * stride);
    for (std::byte* shard : pointers_) shard[bytes] = std::byte{0x5a};
  }
  std::byte** pointers() { return pointers_.data(); }
  ByteSpan shard(u32 i) const { return {pointers_[i], bytes_}; }
  std::vector<std::vector<std::byte>> all() const {
    std::vector<std::vector<std::byte>> copies;
    for (u32 i = 0; i < count_; ++i) copies.emplace_back(shard(i).begin(), shard(i).end());
    return copies;
  }
  bool canaries_live() const {
    return std::all_of(pointers_.begin(), pointers_.end(),
                       [&](std::byte* shard) { return shard[bytes_] == std::byte{0x5a}; });
  }

 private:
  std::size_t bytes_;
  u32 count_;
  std::vector<std::byte> memory_;
  std::vector<std::byte*> pointers_;
};

TEST(Galois, is_the_field_of_isal) {
  for (u32 a = 0; a < 256; ++a) {
    for (u32 b = 0; b < 256; ++b)
      ASSERT_EQ(galois::multiply(static_cast<u8>(a), static_cast<u8>(b)),
                gf_mul(static_cast<unsigned char>(a), static_cast<unsigned char>(b)));
  }
  for (u32 a = 1; a < 256; ++a) ASSERT_EQ(galois::multiply(static_cast<u8>(a), galois::inverse(static_cast<u8>(a))), 1);
}

TEST(Combine, every_kernel_agrees_with_the_definition) {
  const u64 seed = 21;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (int round = 0; round < 2000; ++round) {
    const u32 sources = 1 + static_cast<u32>(random.below(combination_sources_max));
    const u32 outputs = 1 + static_cast<u32>(random.below(combination_outputs_max));
    std::vector<u8> factors(sources * outputs);
    for (u8& factor : factors) factor = static_cast<u8>(random.one_in(4) ? random.below(3) : random.next());
    if (random.one_in(2)) std::fill_n(factors.begin(), sources, u8{1});
    const Combination combination(sources, outputs, factors);
    const std::size_t bytes = random.one_in(2) ? 64 * random.below(20) : random.below(1200);
    const std::size_t skew = random.one_in(2) ? 0 : random.below(64);
    Shards shards(random, sources + outputs, bytes, skew);

    std::vector<std::vector<std::byte>> expected = shards.all();
    for (u32 output = 0; output < outputs; ++output) {
      for (std::size_t at = 0; at < bytes; ++at) {
        u8 sum = 0;
        for (u32 source = 0; source < sources; ++source)
          sum ^= galois::multiply(factors[output * sources + source], static_cast<u8>(expected[source][at]));
        expected[sources + output][at] = static_cast<std::byte>(sum);
      }
    }
    for (const kernel::Combine& kernel : kernel::combine_kernels()) {
      std::byte* const* to = shards.pointers() + sources;
      if (!native_cpu_features().has(kernel.needs) || !kernel.suits(combination, shards.pointers(), to, bytes))
        continue;
      for (u32 output = 0; output < outputs; ++output) std::fill_n(to[output], bytes, std::byte{0xa5});
      kernel.run(combination, shards.pointers(), to, bytes);
      ASSERT_EQ(shards.all(), expected) << kernel.name << ", round " << round << ": " << sources << " to " << outputs
                                        << ", " << bytes << " bytes, skew " << skew;
      ASSERT_TRUE(shards.canaries_live()) << kernel.name << ", round " << round;
    }
  }
}

TEST(ErasureCode, encodes_as_isal) {
  const u64 seed = 22;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (u32 data = data_shards_min; data <= data_shards_max; ++data) {
    for (u32 parity = parity_shards_min; parity <= parity_shards_max; ++parity) {
      constexpr std::size_t bytes = 1000;
      Shards shards(random, data + parity, bytes, 0);
      const ErasureCode code(data, parity);
      code.encode(shards.pointers(), shards.pointers() + data, bytes);

      std::vector<unsigned char> matrix((data + parity) * data), tables(32 * data * parity);
      gf_gen_rs_matrix(matrix.data(), static_cast<int>(data + parity), static_cast<int>(data));
      ec_init_tables(static_cast<int>(data), static_cast<int>(parity), matrix.data() + data * data, tables.data());
      Shards expected(random, parity, bytes, 0);
      ec_encode_data(bytes, static_cast<int>(data), static_cast<int>(parity), tables.data(),
                     reinterpret_cast<unsigned char**>(shards.pointers()),
                     reinterpret_cast<unsigned char**>(expected.pointers()));
      for (u32 i = 0; i < parity; ++i)
        ASSERT_TRUE(std::ranges::equal(shards.shard(data + i), expected.shard(i))) << data << "+" << parity << " " << i;
    }
  }
}

// Every code within the limits, every loss that it must bear.
TEST(ErasureCode, recovers_whatever_is_lost) {
  const u64 seed = 23;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (u32 data = data_shards_min; data <= data_shards_max; ++data) {
    for (u32 parity = parity_shards_min; parity <= parity_shards_max; ++parity) {
      constexpr std::size_t bytes = 37;
      Shards shards(random, data + parity, bytes, 0);
      const ErasureCode code(data, parity);
      code.encode(shards.pointers(), shards.pointers() + data, bytes);
      const auto whole = shards.all();
      for (u32 lost = 1; lost < 1u << (data + parity); ++lost) {
        if (std::popcount(lost) > static_cast<int>(parity)) continue;
        for (u32 i = 0; i < data + parity; ++i)
          if ((lost >> i & 1) != 0) std::fill_n(shards.pointers()[i], bytes, std::byte{0xee});
        code.recovery(lost).run(shards.pointers(), bytes);
        for (u32 i = 0; i < data + parity; ++i)
          ASSERT_TRUE(std::ranges::equal(shards.shard(i), whole[i]))
              << data << "+" << parity << " lost " << lost << " " << i;
      }
    }
  }
}

TEST(CpuFeatures, are_read_as_they_are_written) {
  for (u32 bits = 0; bits < 1u << cpu_feature_count; ++bits) {
    const CpuFeatures features = CpuFeatures::from_bits(bits);
    EXPECT_EQ(parse_cpu_features(to_text(features)), features);
  }
  for (const char* wrong : {"", "avx", "avx2,", ",avx2", "none,avx2", "AVX2"})
    EXPECT_FALSE(parse_cpu_features(wrong)) << wrong;
}

// What combine() takes may change while it is in use; the bytes do not.
TEST(CpuFeatures, taken_away_leave_the_same_parity) {
  Random random(24);
  Shards shards(random, 6, 5000, 0);
  const ErasureCode code(4, 2);
  code.encode(shards.pointers(), shards.pointers() + 4, 5000);
  const auto expected = shards.all();
  for (u32 bits = 0; bits < 1u << cpu_feature_count; ++bits) {
    limit_cpu_features(CpuFeatures::from_bits(bits));
    EXPECT_TRUE(native_cpu_features().has(cpu_features()));
    for (u32 i = 4; i < 6; ++i) std::fill_n(shards.pointers()[i], 5000, std::byte{0});
    code.encode(shards.pointers(), shards.pointers() + 4, 5000);
    EXPECT_EQ(shards.all(), expected) << to_text(cpu_features());
  }
  limit_cpu_features(native_cpu_features());
}

}  // namespace
}  // namespace cowfs::codec
