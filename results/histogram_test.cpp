#include "results/histogram.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <memory>

#include "engine/base/random.h"

namespace cowbench::results {
namespace {

using Owned = std::unique_ptr<HistogramCounts>;
Owned make_counts() { return std::make_unique<HistogramCounts>(); }

// Spread over all magnitudes, as latencies are: a uniform draw would never test small values.
u64 random_latency(cowfs::Random& random) { return random.next() >> (22 + random.below(42)); }

bool equal(const HistogramCounts& a, const HistogramCounts& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

TEST(Histogram, SlotsAreContiguousAndWithinOnePerMille) {
  u64 previous_highest = ~u64{0};
  for (u32 slot = 0; slot < layout::slots; ++slot) {
    const u64 lowest = previous_highest + 1;
    const u64 highest = layout::highest_in_slot(slot);
    ASSERT_LE(lowest, highest);
    ASSERT_EQ(layout::slot_of(lowest), slot);
    ASSERT_EQ(layout::slot_of(highest), slot);
    if (lowest > 0) {
      ASSERT_LE(static_cast<double>(highest - lowest), 0.001 * static_cast<double>(lowest));
    }
    previous_highest = highest;
  }
}

TEST(Histogram, PercentilesMatchASortedVector) {
  for (u64 seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    cowfs::Random random(seed);
    const u64 values_count = 1 + random.below(seed < 20 ? 30 : 20'000);
    auto counts = make_counts();
    std::vector<u64> sorted;
    for (u64 i = 0; i < values_count; ++i) {
      sorted.push_back(random_latency(random));
      counts->record(sorted.back());
    }
    std::sort(sorted.begin(), sorted.end());
    for (const u64 per_mille : {0, 1, 10, 250, 500, 900, 990, 999, 1000}) {
      SCOPED_TRACE(per_mille);
      const u64 rank = std::max<u64>(1, (per_mille * values_count + 999) / 1000);
      const u64 exact = sorted[rank - 1];
      const u64 expected = std::min(layout::highest_in_slot(layout::slot_of(exact)), sorted.back());
      EXPECT_EQ(counts->percentile_ns(static_cast<double>(per_mille) / 10), expected);
      EXPECT_GE(expected, exact);
    }
    EXPECT_EQ(counts->min_ns(), sorted.front());
    EXPECT_EQ(counts->max_ns, sorted.back());
    EXPECT_EQ(counts->count, values_count);
    double sum = 0;
    for (const u64 value : sorted) sum += static_cast<double>(value);
    EXPECT_NEAR(counts->mean_ns(), sum / static_cast<double>(values_count), 1e-6 * counts->mean_ns());
  }
}

TEST(Histogram, MergeIsAssociativeAndEqualsRecordingEverything) {
  for (u64 seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    cowfs::Random random(seed);
    std::array<Owned, 3> parts{make_counts(), make_counts(), make_counts()};
    auto all = make_counts();
    const u64 values_count = random.below(3000);
    for (u64 i = 0; i < values_count; ++i) {
      const u64 value = random_latency(random);
      parts[random.below(3)]->record(value);
      all->record(value);
    }
    auto left = std::make_unique<HistogramCounts>(*parts[0]);
    left->merge(*parts[1]);
    left->merge(*parts[2]);
    auto tail = std::make_unique<HistogramCounts>(*parts[2]);
    tail->merge(*parts[1]);
    auto right = std::make_unique<HistogramCounts>(*tail);
    right->merge(*parts[0]);
    EXPECT_TRUE(equal(*left, *right));
    EXPECT_TRUE(equal(*left, *all));
  }
}

TEST(Histogram, EmptyAndReset) {
  auto counts = make_counts();
  EXPECT_EQ(counts->percentile_ns(99), 0u);
  EXPECT_EQ(counts->min_ns(), 0u);
  EXPECT_EQ(counts->mean_ns(), 0);
  EXPECT_TRUE(percentile_curve(*counts).empty());
  counts->record(12345);
  counts->reset();
  EXPECT_TRUE(equal(*counts, *make_counts()));
}

TEST(Histogram, ZeroIsAValue) {
  auto counts = make_counts();
  counts->record(0);
  counts->record(7);
  EXPECT_EQ(counts->min_ns(), 0u);
  EXPECT_EQ(counts->percentile_ns(50), 0u);
  EXPECT_EQ(counts->percentile_ns(100), 7u);
}

TEST(Histogram, ValuesAboveTheRangeAreNotUnderReported) {
  auto counts = make_counts();
  counts->record(10);
  counts->record(layout::highest_trackable_ns * 4);
  EXPECT_EQ(counts->percentile_ns(99), layout::highest_trackable_ns * 4);
  EXPECT_EQ(counts->percentile_ns(50), 10u);
}

TEST(Histogram, CurveStopsWhereTheTailIsTooThin) {
  auto counts = make_counts();
  for (u64 i = 1; i <= 10'000; ++i) counts->record(i * 1000);
  const auto curve = percentile_curve(*counts);
  ASSERT_GE(curve.size(), 3u);
  EXPECT_EQ(curve.back(), (PercentilePoint{100, 10'000'000}));
  EXPECT_EQ(curve[curve.size() - 2].percent, 99.9);  // ten values lie beyond; beyond 99.95% only five
  for (std::size_t i = 1; i < curve.size(); ++i) EXPECT_LE(curve[i - 1].value_ns, curve[i].value_ns);
}

TEST(Histogram, AChildFillsASharedMapping) {
  void* memory = mmap(nullptr, sizeof(HistogramCounts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* shared = static_cast<HistogramCounts*>(memory);
  const pid_t child = fork();
  if (child == 0) {
    for (u64 i = 1; i <= 1000; ++i) shared->record(i);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(shared->count, 1000u);
  EXPECT_EQ(shared->percentile_ns(50), 500u);
  munmap(memory, sizeof(HistogramCounts));
}

}  // namespace
}  // namespace cowbench::results
