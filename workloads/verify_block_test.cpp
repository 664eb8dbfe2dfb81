#include "workloads/verify_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace cowbench::workloads {
namespace {

using testing::HasSubstr;

constexpr WrittenBlock block{3, 40960, 8192, 17};
constexpr u64 stream = 99, time_ns = 1'700'000'000'000'000'000;

std::vector<std::byte> filled(const VerifyForm& form, const WrittenBlock& which = block, u64 of_stream = stream) {
  std::vector<std::byte> bytes(which.bytes);
  VerifyContent(form, of_stream).fill(which, time_ns, bytes);
  return bytes;
}

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::vector<VerifyForm> forms() {
  std::vector<VerifyForm> all;
  for (const VerifyMethod method : {VerifyMethod::crc32c, VerifyMethod::xxhash, VerifyMethod::meta})
    for (const u64 interval : {0, 512, 4096})
      for (const char* pattern : {"", "abc"}) all.push_back({method, interval, bytes_of(pattern)});
  all.push_back({VerifyMethod::pattern, 0, bytes_of("pattern")});
  return all;
}

TEST(VerifyBlock, WhatWasWrittenIsRecognised) {
  for (const VerifyForm& form : forms()) EXPECT_FALSE(VerifyContent(form, stream).check(block, filled(form)).has_value());
}

// Every byte counts: of the header all, of the body where the method has a checksum of it.
TEST(VerifyBlock, EachWrongByteIsFoundWhereItIs) {
  for (const VerifyForm& form : forms()) {
    const VerifyContent content(form, stream);
    const u64 piece = form.interval > 0 ? form.interval : block.bytes;
    std::vector<std::byte> bytes = filled(form);
    for (u64 at = 0; at < bytes.size(); at += at < 600 || at > 7000 ? 1 : 101) {
      bytes[at] ^= std::byte{0x10};
      const bool in_header = form.method != VerifyMethod::pattern && at % piece < sizeof(VerifyHeader);
      const auto mismatch = content.check(block, bytes);
      const bool is_checked = in_header || form.method != VerifyMethod::meta;
      ASSERT_EQ(mismatch.has_value(), is_checked) << at;
      if (mismatch && !in_header) {
        ASSERT_EQ(mismatch->offset, block.offset + at);
        ASSERT_NE(mismatch->expected.substr(0, 2), mismatch->found.substr(0, 2));
        ASSERT_EQ(mismatch->expected.substr(2), mismatch->found.substr(2));
      }
      if (mismatch && in_header) {
        ASSERT_EQ(mismatch->offset / piece, (block.offset + at) / piece) << at;
      }
      bytes[at] ^= std::byte{0x10};
    }
  }
}

TEST(VerifyBlock, BlocksOfElsewhereAreNamed) {
  struct Case {
    const char* reason;
    WrittenBlock found;
    u64 stream;
  };
  for (const Case& c : {Case{"an older write", {3, 40960, 8192, 16}, stream}, Case{"a later write", {3, 40960, 8192, 18}, stream},
                        Case{"another offset", {3, 32768, 8192, 17}, stream}, Case{"another file", {2, 40960, 8192, 17}, stream},
                        Case{"another clone", block, stream + 1}}) {
    SCOPED_TRACE(c.reason);
    const VerifyForm form{VerifyMethod::crc32c, 0, {}};
    const auto mismatch = VerifyContent(form, stream).check(block, filled(form, c.found, c.stream));
    ASSERT_TRUE(mismatch.has_value());
    EXPECT_THAT(mismatch->to_text(), HasSubstr(c.reason));
  }
  const VerifyForm form{VerifyMethod::meta, 0, {}};
  const auto lost = VerifyContent(form, stream).check(block, std::vector<std::byte>(block.bytes));
  ASSERT_TRUE(lost.has_value());
  EXPECT_THAT(lost->to_text(), HasSubstr("at byte 40960: no header"));
}

// What fio 3.33 writes for each, with verify=pattern.
TEST(VerifyPattern, AsFioReadsIt) {
  struct Case {
    const char* text;
    std::string_view bytes;
  };
  for (const Case& c : {Case{"0xdeadbeef", "\xde\xad\xbe\xef"}, Case{"12", "\x0c"}, Case{"300", "\x2c\x01"}, Case{"\"abcd\"", "abcd"},
                        Case{"0xff\"ab\"", "\xff" "ab"}, Case{"0xabc", "\x0a\xbc"}, Case{"\"a\"300\"b\"", "a\x2c\x01" "b"}})
    EXPECT_EQ(parse_verify_pattern(c.text), bytes_of(c.bytes)) << c.text;
  EXPECT_EQ(parse_verify_pattern("0"), std::vector<std::byte>{std::byte{0}});
  for (const char* wrong : {"", "0x", "0xg", "\"abc", "\"\"", "-12", "4294967296", "%o", "12 "})
    EXPECT_FALSE(parse_verify_pattern(wrong).has_value()) << wrong;
  EXPECT_FALSE(parse_verify_pattern("0x" + std::string(2000, 'f')).has_value());
}

}  // namespace
}  // namespace cowbench::workloads
