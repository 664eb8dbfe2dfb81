#include "engine/sim/crash_state.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cowfs::sim {
namespace {

using device::PendingWrite;

bool contains(const std::vector<CrashState>& states, const CrashState& state) {
  return std::find(states.begin(), states.end(), state) != states.end();
}

TEST(CrashStates, of_few_writes_are_every_subset_and_each_write_torn) {
  const std::vector<PendingWrite> pending{{0, 4096, true}, {8192, 512, true}, {65536, 16384, false}};
  Random random(1);
  const std::vector<CrashState> states = crash_states(pending, 512, {}, random);
  const CrashState whole{{0, 8}, {0, 1}, {0, 32}};
  for (unsigned bits = 0; bits < 8; ++bits) {
    CrashState subset(3);
    for (unsigned i = 0; i < 3; ++i) {
      if ((bits >> i & 1) != 0) subset[i] = whole[i];
    }
    EXPECT_TRUE(contains(states, subset)) << bits;
  }
  EXPECT_TRUE(contains(states, {{0, 1}, {0, 1}, {0, 32}}));
  EXPECT_TRUE(contains(states, {{0, 8}, {0, 1}, {0, 8}})) << "torn at 4 KiB";
  EXPECT_TRUE(contains(states, {{0, 0}, {0, 0}, {31, 32}}));
  EXPECT_EQ(std::count_if(states.begin(), states.end(), [&](const CrashState& s) { return s == whole; }), 1);
}

TEST(CrashStates, of_many_writes_are_prefixes_single_ones_and_some_subsets) {
  const std::vector<PendingWrite> pending(40, {0, 512, true});
  Random random(1);
  const std::vector<CrashState> states = crash_states(pending, 512, {.random_subsets = 10}, random);
  EXPECT_LT(states.size(), 200u);
  for (std::size_t border = 0; border <= 40; ++border) {
    CrashState prefix(40);
    std::fill_n(prefix.begin(), border, Kept{0, 1});
    EXPECT_TRUE(contains(states, prefix)) << border;
  }
}

TEST(Image, equal_bytes_have_equal_hashes) {
  device::Image image(1 * mib);
  const u64 empty = image.hash();
  std::vector<std::byte> block(4096, std::byte{7});
  image.write(300 * kib, block);
  EXPECT_NE(image.hash(), empty);
  device::Image copy = image;
  EXPECT_EQ(copy.hash(), image.hash());
  copy.flip_bit(300 * kib, 1);
  EXPECT_NE(copy.hash(), image.hash());
  copy.flip_bit(300 * kib, 1);
  EXPECT_EQ(copy.hash(), image.hash());
  device::Image elsewhere(1 * mib);
  elsewhere.write(300 * kib + device::Image::chunk_bytes, block);
  EXPECT_NE(elsewhere.hash(), image.hash());
  std::fill(block.begin(), block.end(), std::byte{0});
  image.write(300 * kib, block);
  EXPECT_EQ(image.hash(), empty);
}

}  // namespace
}  // namespace cowfs::sim
