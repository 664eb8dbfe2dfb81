#include "engine/device/write_through.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace cowfs::device {
namespace {

using runtime::IoOperation;

constexpr int few = 16;

// What a device sees of requests that it answers one by one.
class WriteThroughTest : public testing::Test {
 protected:
  IoOperation begin(IoOperation::Kind kind, bool durable = false, u64 bytes = block_bytes) {
    IoOperation operation;
    operation.kind = kind;
    operation.length = bytes;
    operation.durable = durable;
    is_spared_ = write_through_.begins(operation);
    return operation;
  }
  void end(IoOperation& operation, i64 result = 0) {
    operation.result = result;
    write_through_.ended(operation);
  }
  // Whether it was durable.
  bool write(bool durable = false, u64 bytes = block_bytes) {
    IoOperation operation = begin(IoOperation::Kind::write, durable, bytes);
    end(operation);
    return operation.durable;
  }
  // Whether the device was flushed.
  bool flush(i64 result = 0) {
    IoOperation operation = begin(IoOperation::Kind::flush);
    if (!is_spared_) end(operation, result);
    return !is_spared_;
  }
  // From here on few writes are expected, and nothing is in the cache.
  void settle() {
    flush();
    flush();
  }

  WriteThrough write_through_;
  bool is_spared_ = false;
};

TEST_F(WriteThroughTest, the_first_flush_is_one_because_of_who_wrote_before) {
  EXPECT_TRUE(flush());
  EXPECT_FALSE(flush());
}

TEST_F(WriteThroughTest, few_writes_are_durable_and_need_no_flush) {
  settle();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < few; ++i) EXPECT_TRUE(write());
    EXPECT_FALSE(flush());
  }
}

TEST_F(WriteThroughTest, after_many_writes_the_next_ones_are_flushed) {
  settle();
  for (int i = 0; i < few; ++i) EXPECT_TRUE(write());
  EXPECT_FALSE(write());
  EXPECT_TRUE(flush());
  EXPECT_FALSE(write());
  EXPECT_TRUE(flush());
  EXPECT_TRUE(write()) << "few came meanwhile";
  EXPECT_FALSE(flush());
}

TEST_F(WriteThroughTest, after_large_writes_the_next_ones_are_flushed) {
  settle();
  EXPECT_TRUE(write(false, 256 * kib));
  EXPECT_TRUE(write());
  EXPECT_FALSE(flush());
  EXPECT_FALSE(write(false, 256 * kib));
  EXPECT_TRUE(flush());
  EXPECT_TRUE(write());
}

TEST_F(WriteThroughTest, what_is_asked_to_be_durable_is) {
  for (int i = 0; i < 2 * few; ++i) EXPECT_TRUE(write(true));
  EXPECT_TRUE(flush());
  for (int i = 0; i < 2 * few; ++i) EXPECT_TRUE(write(true));
  EXPECT_FALSE(flush());
}

TEST_F(WriteThroughTest, a_flush_counts_only_for_writes_that_were_answered_before_it) {
  for (int i = 0; i <= few; ++i) write();
  IoOperation late = begin(IoOperation::Kind::write);
  ASSERT_FALSE(late.durable);
  IoOperation flushed = begin(IoOperation::Kind::flush);
  ASSERT_FALSE(is_spared_);
  end(late);
  end(flushed);
  EXPECT_TRUE(flush());
  EXPECT_FALSE(flush());
}

TEST_F(WriteThroughTest, a_flush_that_failed_counts_for_nothing) {
  EXPECT_TRUE(flush(-EIO));
  EXPECT_TRUE(flush(-EIO));
  EXPECT_TRUE(flush());
  EXPECT_FALSE(flush());
}

TEST_F(WriteThroughTest, a_write_that_failed_may_be_in_the_cache) {
  flush();
  for (int i = 0; i <= few; ++i) write();
  flush();
  IoOperation failed = begin(IoOperation::Kind::write);
  ASSERT_FALSE(failed.durable);
  end(failed, -EIO);
  EXPECT_TRUE(flush());
}

TEST_F(WriteThroughTest, reads_and_discards_are_nothing_to_it) {
  settle();
  for (const auto kind : {IoOperation::Kind::read, IoOperation::Kind::discard}) {
    for (int i = 0; i < 2 * few; ++i) {
      IoOperation operation = begin(kind);
      EXPECT_FALSE(is_spared_);
      end(operation);
    }
  }
  EXPECT_FALSE(flush());
  EXPECT_TRUE(write());
}

}  // namespace
}  // namespace cowfs::device
