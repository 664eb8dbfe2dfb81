// For the tests of this room: a loop device on a small image, undone at the end of the test (needs root), and somebody else
// who has something open.
#pragma once
#include <functional>
#include <string>

#include <sys/types.h>

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

// A process of its own that has `path` open.
class OtherOpener {
 public:
  // Until `done` says so, in that process, or for ever.
  explicit OtherOpener(const std::string& path, const std::function<bool()>& done = [] { return false; });
  ~OtherOpener();
  OtherOpener(const OtherOpener&) = delete;
  OtherOpener& operator=(const OtherOpener&) = delete;
  std::string name() const { return "process " + std::to_string(process_); }

 private:
  pid_t process_;
};

}  // namespace cowbench::harness

// Skips with a printed reason where loop devices cannot be made.
#define COWBENCH_NEEDS_LOOP()                                                                    \
  if (const std::string reason = ::cowbench::harness::no_loop_devices_reason(); !reason.empty()) \
  GTEST_SKIP() << reason
