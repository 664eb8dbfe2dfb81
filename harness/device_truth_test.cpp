#include "harness/device_truth.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "harness/device_identity.h"
#include "harness/test_devices.h"

namespace cowbench::harness {
namespace {

TEST(DeviceTruth, ParsesOldAndNewKernels) {
  const auto counters = parse_device_counters("  10 1 20 2  30 3 40 4  0 50 60  7 0 16 0  99 5\n");
  ASSERT_TRUE(counters.ok());
  EXPECT_EQ(counters->reads, 10u);
  EXPECT_EQ(counters->read_bytes, 20u * 512);
  EXPECT_EQ(counters->writes, 30u);
  EXPECT_EQ(counters->write_bytes, 40u * 512);
  EXPECT_EQ(counters->busy_ms, 50u);
  EXPECT_EQ(counters->discard_bytes, 16u * 512);
  EXPECT_EQ(counters->flushes, 99u);
  const auto old = parse_device_counters("10 1 20 2 30 3 40 4 0 50 60");
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->flushes, 0u);
  for (const char* text : {"", "10 1 20", "ten", "10 1 20 2 30 3 x 4 0 50 60"})
    EXPECT_FALSE(parse_device_counters(text).ok());
}

TEST(DeviceTruth, Amplification) {
  DeviceCounters moved;
  moved.write_bytes = 300;
  EXPECT_EQ(write_amplification(moved, 200), 1.5);
  EXPECT_FALSE(write_amplification(moved, 0).has_value());
}

TEST(DeviceTruth, CountsWritesAndFlushesOfALoopDevice) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(16 << 20);
  const auto identity = identify_device(loop.device());
  ASSERT_TRUE(identity.ok());
  const auto before = read_device_counters(identity->number);
  ASSERT_TRUE(before.ok());
  const std::vector<char> data(1 << 20, 'x');
  const int descriptor = open(loop.device().c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(pwrite(descriptor, data.data(), data.size(), 0), static_cast<ssize_t>(data.size()));
  ASSERT_EQ(fsync(descriptor), 0);
  close(descriptor);
  const auto after = read_device_counters(identity->number);
  ASSERT_TRUE(after.ok());
  const DeviceCounters moved = *after - *before;
  EXPECT_EQ(moved.write_bytes, data.size());
  EXPECT_GE(moved.flushes, 1u);
}

}  // namespace
}  // namespace cowbench::harness
