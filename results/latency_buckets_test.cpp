#include "results/latency_buckets.h"

#include <gtest/gtest.h>

#include "engine/base/random.h"

namespace cowbench::results {
namespace {

TEST(LatencyBuckets, AreWrittenFromTheFirstToTheLastThatIsNotEmpty) {
  LatencyBuckets buckets{};
  EXPECT_EQ(to_text(buckets), "");
  buckets[21] = 3;
  buckets[23] = 41;
  EXPECT_EQ(to_text(buckets), "21 3 0 41");
  buckets[0] = buckets[127] = ~u64{0};
  EXPECT_TRUE(to_text(buckets).starts_with("0 18446744073709551615 0 0"));
  EXPECT_EQ(latency_buckets_from(to_text(buckets)), buckets);
}

TEST(LatencyBuckets, PercentilesAreTheEndsOfBuckets) {
  LatencyBuckets buckets{};
  EXPECT_FALSE(percentile_ns(buckets, 0.99));
  buckets[cowfs::latency_bucket(100)] = 98;
  const LatencyBuckets before = buckets;
  buckets[cowfs::latency_bucket(1000)] = 2;
  EXPECT_EQ(percentile_ns(buckets, 0.5), 112u);
  EXPECT_EQ(percentile_ns(buckets, 0.99), 1024u);
  EXPECT_EQ(percentile_ns(difference(buckets, before), 0.5), 1024u);
  EXPECT_EQ(sum(difference(buckets, before), before), buckets);
}

TEST(LatencyBuckets, RoundTrip) {
  constexpr u64 seed = 20261128;
  SCOPED_TRACE(seed);
  cowfs::Random random(seed);
  for (int round = 0; round < 1000; ++round) {
    LatencyBuckets buckets{};
    for (u64 filled = random.below(40); filled > 0; --filled)
      buckets[random.below(buckets.size())] = random.next() >> random.below(64);
    EXPECT_EQ(latency_buckets_from(to_text(buckets)), buckets) << to_text(buckets);
  }
}

TEST(LatencyBuckets, AnythingElseIsRefused) {
  for (const char* wrong : {"5", "5 0", "5 0 1", "5 1 0", "05 1", "5 01", " 5 1", "5 1 ", "5  1", "5 -1", "-5 1", "5 1.5",
                            "128 1", "127 1 1", "5 18446744073709551616", "18446744073709551615 1", "x", "5 x", "5,1"})
    EXPECT_FALSE(latency_buckets_from(wrong)) << wrong;
}

}  // namespace
}  // namespace cowbench::results
