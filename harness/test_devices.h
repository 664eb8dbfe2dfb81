// For the tests of this room: a loop device on a small image, undone at the end of the test. Needs root.
#pragma once
#include <string>

#include "harness/outcome.h"

namespace cowbench::harness {

// Why loop devices cannot be made here; empty when they can.
std::string no_loop_devices_reason();

class TestLoop {
 public:
  explicit TestLoop(unsigned long long size_bytes);
  ~TestLoop();
  TestLoop(const TestLoop&) = delete;
  TestLoop& operator=(const TestLoop&) = delete;
  const std::string& device() const { return device_; }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_, device_;
};

}  // namespace cowbench::harness

// Skips with a printed reason where loop devices cannot be made.
#define COWBENCH_NEEDS_LOOP()                                                                    \
  if (const std::string reason = ::cowbench::harness::no_loop_devices_reason(); !reason.empty()) \
  GTEST_SKIP() << reason
