#include "harness/page_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cowbench::harness {
namespace {

TEST(PageBuffer, BeginsAtAPageAndIsZero) {
  for (const cowfs::u64 bytes : {0, 1, 4095, 4096, 4097, 200000}) {
    SCOPED_TRACE(bytes);
    PageBuffer buffer(bytes);
    EXPECT_EQ(buffer.span().size(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.span().data()) % 4096, 0u);
    EXPECT_TRUE(std::ranges::all_of(buffer.span(), [](std::byte byte) { return byte == std::byte{}; }));
  }
}

}  // namespace
}  // namespace cowbench::harness
