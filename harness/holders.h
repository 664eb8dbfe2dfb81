// Who keeps a filesystem or a block device from being let go, and waiting for them.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace cowbench::harness {

struct Holder {
  pid_t process = 0;
  std::string text;  // "open in process 123 (dbench)"
};

// Processes that have the block device of this number open, or a file or directory on a filesystem of this device
// number. Only those that this user may look into.
std::vector<Holder> openers_of(dev_t number);

// "mounted at /srv", "mounted at /x, seen by process 77 (sleep)": in every mount namespace that a visible process lives in.
// `numbers`: of a device and its partitions, as in "7:0".
std::vector<std::string> mounts_of(const std::vector<std::string>& numbers);

// Everything that holds the device, in one line; empty when nobody is seen.
std::string holders_text(dev_t number);

// Returns when one of them has ended, or after `longest`.
void wait_for_end_of_one(const std::vector<Holder>& holders, std::chrono::milliseconds longest);

// The kernel's announcements that a device has changed: attached, detached, another medium.
class DeviceEvents {
 public:
  DeviceEvents();  // from here on; without them (old kernel, no permission) wait() only lets time pass
  ~DeviceEvents();
  DeviceEvents(const DeviceEvents&) = delete;
  DeviceEvents& operator=(const DeviceEvents&) = delete;
  // Returns after the next announcement, or after `longest`.
  void wait(std::chrono::milliseconds longest);

 private:
  int socket_ = -1;
};

}  // namespace cowbench::harness
