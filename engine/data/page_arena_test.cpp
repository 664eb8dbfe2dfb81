#include "engine/data/page_arena.h"

#include <gtest/gtest.h>

#include <map>

#include "engine/base/random.h"

namespace cowfs::data {
namespace {

TEST(PageArena, pieces_never_overlap_and_all_memory_comes_back) {
  const u64 seed = 20261121;
  SCOPED_TRACE(seed);
  Random random(seed);
  PageArena arena({32 * window_bytes});
  std::map<std::byte*, u32> held;
  for (int step = 0; step < 20000; ++step) {
    if (random.below(100) < 55) {
      const u32 order = static_cast<u32>(random.below(5));
      std::byte* memory = arena.allocate(order);
      if (memory == nullptr) {
        memory = arena.borrow(order);
        EXPECT_TRUE(arena.is_borrowed(memory));
      }
      const auto after = held.lower_bound(memory);
      if (after != held.end()) {
        ASSERT_GE(after->first, memory + (block_bytes << order));
      }
      if (after != held.begin()) {
        ASSERT_LE(std::prev(after)->first + (block_bytes << std::prev(after)->second), memory);
      }
      held.emplace(memory, order);
    } else if (!held.empty()) {
      const auto victim = std::next(held.begin(), static_cast<long>(random.below(held.size())));
      arena.free(victim->first, victim->second);
      held.erase(victim);
    }
  }
  for (const auto& [memory, order] : held) arena.free(memory, order);
  EXPECT_EQ(arena.used(), Bytes{0});
  for (int window = 0; window < 32; ++window) EXPECT_NE(arena.allocate(4), nullptr);
  EXPECT_EQ(arena.allocate(0), nullptr);
}

TEST(PageArena, order_for_is_the_smallest_that_fits) {
  const u32 expected[] = {0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4};
  for (u32 blocks = 1; blocks <= 16; ++blocks) EXPECT_EQ(order_for(blocks), expected[blocks]) << blocks;
}

}  // namespace
}  // namespace cowfs::data
