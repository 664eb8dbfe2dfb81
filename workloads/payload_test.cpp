#include "workloads/payload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "engine/base/random.h"

namespace cowbench::workloads {
namespace {

std::vector<std::byte> content(PayloadKind kind, u64 stream, u64 offset, u64 length) {
  std::vector<std::byte> buffer(length, std::byte{0xee});
  fill_payload(kind, stream, offset, buffer);
  return buffer;
}

TEST(Payload, AnyWindowIsPartOfTheWhole) {
  const u64 seed = 7;
  RecordProperty("seed", std::to_string(seed));
  cowfs::Random random(seed);
  for (const PayloadKind kind : {PayloadKind::zero, PayloadKind::random, PayloadKind::compressible}) {
    const u64 base = 3 * 4096 + 17;
    const std::vector<std::byte> whole = content(kind, 99, base, 10'000);
    for (int round = 0; round < 2000; round++) {
      const u64 at = random.below(whole.size());
      const u64 length = random.below(std::min<u64>(whole.size() - at, 700) + 1);
      const std::vector<std::byte> window = content(kind, 99, base + at, length);
      ASSERT_TRUE(std::equal(window.begin(), window.end(), whole.begin() + static_cast<long>(at))) << at << "+" << length;
    }
  }
}

TEST(Payload, StreamsDiffer) {
  std::set<u64> streams;
  for (u64 seed = 0; seed < 4; seed++) {
    for (u32 client = 0; client < 8; client++) {
      for (u32 path = 0; path < 8; path++) {
        for (u64 version = 0; version < 8; version++) streams.insert(payload_stream(seed, client, path, version));
      }
    }
  }
  EXPECT_EQ(streams.size(), 4u * 8 * 8 * 8);
  EXPECT_NE(content(PayloadKind::random, payload_stream(1, 0, 0, 0), 0, 64),
            content(PayloadKind::random, payload_stream(1, 0, 0, 1), 0, 64));
}

TEST(Payload, EntropyIsAsPromised) {
  const auto histogram = [](PayloadKind kind) {
    std::vector<u64> counts(256);
    for (const std::byte b : content(kind, payload_stream(1, 2, 3, 4), 0, 1 << 20)) counts[static_cast<u8>(b)]++;
    return counts;
  };
  EXPECT_EQ(histogram(PayloadKind::zero)[0], 1u << 20);
  // 4096 of each byte are expected; 6 standard deviations are 384.
  for (const u64 count : histogram(PayloadKind::random)) EXPECT_NEAR(static_cast<double>(count), 4096, 400);
  EXPECT_NEAR(static_cast<double>(histogram(PayloadKind::compressible)[0]), (1 << 19) + 2048, 300);
}

TEST(Payload, Names) {
  for (const PayloadKind kind : {PayloadKind::zero, PayloadKind::random, PayloadKind::compressible}) {
    EXPECT_EQ(to_payload_kind(name(kind)), kind);
  }
  EXPECT_FALSE(to_payload_kind("Random").has_value());
}

}  // namespace
}  // namespace cowbench::workloads
