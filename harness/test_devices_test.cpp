#include "harness/test_devices.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "harness/command.h"
#include "harness/device_identity.h"

namespace cowbench::harness {

std::string no_loop_devices_reason() {
  if (geteuid() != 0) return "needs root to make loop devices";
  if (access("/dev/loop-control", R_OK | W_OK) != 0) return "needs /dev/loop-control";
  return "";
}

TestLoop::TestLoop(unsigned long long size_bytes) {
  char pattern[] = "/var/tmp/cowbench-test-XXXXXX";
  assert(mkdtemp(pattern) != nullptr);
  directory_ = pattern;
  const std::string image = directory_ + "/image";
  const int descriptor = open(image.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  assert(descriptor >= 0);
  assert(ftruncate(descriptor, static_cast<off_t>(size_bytes)) == 0);
  close(descriptor);
  auto attached = run_checked({"losetup", {"--find", "--show", image}});
  assert(attached.ok());
  device_ = attached->output.substr(0, attached->output.find('\n'));
  const Action writable = make_writable(device_);
  assert(writable.ok());
}

TestLoop::~TestLoop() {
  const auto detached = run_checked({"losetup", {"--detach", device_}});
  assert(detached.ok());
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

OtherOpener::OtherOpener(const std::string& path, const std::function<bool()>& done) {
  int ready[2];
  EXPECT_EQ(pipe(ready), 0);
  process_ = fork();
  if (process_ == 0) {
    const char byte = open(path.c_str(), O_RDONLY | O_CLOEXEC) >= 0 ? 'y' : 'n';
    if (write(ready[1], &byte, 1) != 1) _exit(1);
    [&done]() noexcept {  // an exception would run the rest of the tests here, too
      while (!done()) sched_yield();
    }();
    _exit(0);
  }
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  close(ready[0]);
  close(ready[1]);
}

OtherOpener::~OtherOpener() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

}  // namespace cowbench::harness
