#include "results/histogram_codec.h"

#include <gtest/gtest.h>

#include "engine/base/random.h"
#include "results/deflate.h"

namespace cowbench::results {
namespace {

std::unique_ptr<HistogramCounts> empty_histogram() {
  auto counts = std::make_unique<HistogramCounts>();
  counts->reset();
  return counts;
}

TEST(HistogramCodec, CountsComeBackSlotBySlot) {
  for (u64 seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    cowfs::Random random(seed);
    const auto counts = empty_histogram();
    const u64 values = random.below(3000);
    for (u64 i = 0; i < values; ++i) counts->record(random.next() >> (22 + random.below(42)));
    const auto decoded = decode_histogram(encode_histogram(*counts));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ((*decoded)->slot_counts, counts->slot_counts);
    EXPECT_EQ((*decoded)->count, counts->count);
    for (const double percent : {1.0, 50.0, 99.0}) {
      EXPECT_GE((*decoded)->percentile_ns(percent), counts->percentile_ns(percent));
    }
  }
}

TEST(HistogramCodec, CountsThatNeedNineBytesComeBack) {
  const auto counts = empty_histogram();
  counts->record(7);
  counts->slot_counts[7] = counts->count = u64{1} << 62;
  const auto decoded = decode_histogram(encode_histogram(*counts));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ((*decoded)->slot_counts[7], u64{1} << 62);
}

// What other libraries look for before they read on.
TEST(HistogramCodec, BeginsAsReadersExpect) { EXPECT_TRUE(encode_histogram(*empty_histogram()).starts_with("HISTFAAA")); }

TEST(HistogramCodec, DamageIsRefused) {
  const auto counts = empty_histogram();
  for (u64 value = 1; value < 5'000'000; value = value * 5 / 4 + 1) counts->record(value);
  const std::string sound = encode_histogram(*counts);
  for (const std::string& text : {std::string(), std::string("HISTF"), std::string("####"), sound.substr(0, 40),
                                  sound + "AAAA", "IISTF" + sound.substr(5)}) {
    const auto decoded = decode_histogram(text);
    ASSERT_FALSE(decoded.ok()) << text;
    EXPECT_EQ(decoded.error().code, cowfs::Code::histogram_invalid);
  }
  // Any single wrong character is refused, or changes nothing: the stream carries a checksum.
  for (std::size_t at = 0; at < sound.size(); ++at) {
    std::string damaged = sound;
    damaged[at] = damaged[at] == 'A' ? 'B' : 'A';
    const auto decoded = decode_histogram(damaged);
    if (decoded.ok()) {
      EXPECT_EQ((*decoded)->slot_counts, counts->slot_counts) << at;
    }
  }
}

TEST(Deflate, RefusesWhatIsCutOrTooLarge) {
  const std::string text(100'000, 'x');
  const std::string stream = deflate(text);
  EXPECT_EQ(inflate(stream, text.size()), text);
  EXPECT_EQ(inflate(stream, text.size() - 1), std::nullopt);
  EXPECT_EQ(inflate(stream.substr(0, stream.size() - 1), text.size()), std::nullopt);
  EXPECT_EQ(inflate(stream + "x", text.size()), std::nullopt);
  EXPECT_EQ(inflate("", 10), std::nullopt);
  EXPECT_EQ(inflate(deflate(""), 10), "");
}

}  // namespace
}  // namespace cowbench::results
