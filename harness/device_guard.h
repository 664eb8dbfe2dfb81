// Keeps the harness from erasing the wrong device: it looks first, says what it found, and holds what it was given.
//
// A device is refused when it
//   always                 is mounted (itself or a partition of it, in any mount namespace that can be seen),
//                          is swap, has holders (RAID, LVM, device-mapper), backs a loop device, holds / or the
//                          working directory, is read-only, or is open by any other process;
//   unless named to erase  carries a signature that libblkid knows, a partition table or partitions, or bytes other
//                          than zero in its first or last MiB.
// Mounts are looked for by device number, so a symlink or a second node of the same device changes nothing.
#pragma once
#include <string>
#include <vector>

#include "harness/device_identity.h"
#include "harness/outcome.h"

namespace cowbench::harness {

struct DeviceFinding {
  std::string what;         // "mounted at /srv", "signature ext4 (label backup)"
  bool erasable = false;    // naming the device in --erase overrides it
};

struct DeviceInspection {
  DeviceIdentity identity;
  std::vector<DeviceFinding> findings;
};

// Reads only. Failures: identify_device's.
Outcome<DeviceInspection> inspect_device(const std::string& path);

// Pure: whether `inspection` allows erasing. `named_to_erase`: the device stands in --erase=. Failure refused lists
// every finding that is in the way.
Action check_erasable(const DeviceInspection& inspection, bool named_to_erase);

// True when one of `erase` is the same device as `identity`, by device number.
bool is_named(const DeviceIdentity& identity, const std::vector<std::string>& erase);

// Holds a device for a run. Two descriptors: one opened O_EXCL, which no mount, swap or other exclusive opener can get
// past; and one plain, with flock(LOCK_EX), which makes udev keep its hands off and lets a second harness know. mkfs
// and mount claim a device exclusively themselves, so the exclusive descriptor must be closed while they run and while
// the filesystem is mounted; the flock stays for the whole run, unless the borrower locks the device itself, and the device
// number is compared again each time.
class DeviceClaim {
 public:
  // Opens exclusively first, then inspects, then checks. Failures: inspect_device's and check_erasable's; refused: in
  // use by someone else (EBUSY), or locked by another harness.
  static Outcome<DeviceClaim> claim(const std::string& path, const std::vector<std::string>& erase);
  DeviceClaim(DeviceClaim&& other) noexcept;
  DeviceClaim& operator=(DeviceClaim&& other) noexcept;
  ~DeviceClaim();

  enum class Borrower {
    kernel,  // mkfs and mount leave the lock alone
    cowfs,   // locks what it opens
  };
  // Before mkfs or mount. Failure refused: the path now leads to another device.
  Action lend(Borrower borrower);
  // After umount. Failure refused: someone else got hold of it meanwhile.
  Action take_back();

  const DeviceIdentity& identity() const { return identity_; }

 private:
  DeviceClaim() = default;
  Action lock();

  DeviceIdentity identity_;
  int exclusive_ = -1;
  int locked_ = -1;
};

}  // namespace cowbench::harness
