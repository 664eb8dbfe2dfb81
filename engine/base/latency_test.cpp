#include "engine/base/latency.h"

#include <gtest/gtest.h>

namespace cowfs {
namespace {

TEST(Latency, every_latency_lies_before_the_end_of_its_bucket_and_not_before_the_one_below) {
  for (u64 ns = 1; ns < 100'000'000'000; ns += 1 + ns / 97) {
    const u32 bucket = latency_bucket(ns);
    ASSERT_LT(ns, latency_bucket_end_ns(bucket)) << ns;
    if (bucket > 0) {
      ASSERT_GE(ns, latency_bucket_end_ns(bucket - 1)) << ns;
    }
  }
}

TEST(Latency, whatever_is_longer_is_in_the_last_bucket) {
  EXPECT_EQ(latency_bucket(~0ull), latency_buckets - 1);
  EXPECT_EQ(latency_bucket(0), 0u);
}

TEST(Latency, percentiles_name_the_bucket_that_holds_them) {
  Totals totals;
  EXPECT_EQ(totals.percentile_ns(0.5), 0u);
  totals.latencies[latency_bucket(1000)] = 99;
  totals.latencies[latency_bucket(1'000'000)] = 1;
  EXPECT_EQ(totals.percentile_ns(0.5), latency_bucket_end_ns(latency_bucket(1000)));
  EXPECT_EQ(totals.percentile_ns(0.99), latency_bucket_end_ns(latency_bucket(1000)));
  EXPECT_EQ(totals.percentile_ns(0.999), latency_bucket_end_ns(latency_bucket(1'000'000)));
}

}  // namespace
}  // namespace cowfs
