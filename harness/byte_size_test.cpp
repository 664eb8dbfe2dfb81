#include "harness/byte_size.h"

#include <gtest/gtest.h>

namespace cowbench::harness {
namespace {

TEST(ByteSize, ReadsWhatPeopleType) {
  struct Case {
    const char* text;
    u64 bytes;
  };
  for (const Case& c : {Case{"0", 0}, Case{"4096", 4096}, Case{"1K", 1024}, Case{"512m", 512 * cowfs::mib},
                        Case{"8G", 8 * cowfs::gib}, Case{"8GiB", 8 * cowfs::gib}, Case{"2gb", 2 * cowfs::gib},
                        Case{"7B", 7}, Case{"1T", 1024 * cowfs::gib}}) {
    SCOPED_TRACE(c.text);
    const auto parsed = parse_size(c.text);
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, c.bytes);
  }
}

TEST(ByteSize, RefusesTheRest) {
  for (const char* text : {"", "G", "-1", "1.5G", "1 G", "1X", "1GG", "99999999999999999999", "99999999999T", "1KBB"}) {
    SCOPED_TRACE(text);
    const auto parsed = parse_size(text);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.failure().kind, FailureKind::request);
  }
}

TEST(ByteSize, IsReadable) {
  EXPECT_EQ(size_text(640), "640 bytes");
  EXPECT_EQ(size_text(8 * cowfs::gib), "8 GiB");
  EXPECT_EQ(size_text(1536 * cowfs::mib), "1.50 GiB");
  EXPECT_EQ(size_text(4096), "4 KiB");
}

}  // namespace
}  // namespace cowbench::harness
