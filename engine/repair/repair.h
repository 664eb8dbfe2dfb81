// Repair of a filesystem that is not mounted.
//
// What check finds decides what is done. A damaged copy of something is written anew from its twin. For everything else the
// primary keys of all trees that can still be read are gathered, made consistent with each other, and written as a new
// checkpoint of every slice, whose derived trees the same triggers compute that always do. Of several devices with copies or
// parity all copies are then looked through. All of it happens in memory first, over the devices (OverlayDevices), and is
// checked there; it is written only when that check finds nothing more. One commit block then puts all of it in force: a power
// cut leaves the filesystem as it was, or repaired.
// docs/decisions/025-repair.md has the reasons, docs/reliability.md what is done about each class.
#pragma once
#include "engine/admin/tools.h"
#include "engine/device/device.h"
#include "engine/runtime/task.h"

namespace cowfs::repair {

// One thing that was done, or has to be accepted.
struct Repair {
  std::string finding_class;  // what it is about; or copy_damaged, which check does not look for
  std::string what;           // for people
  u64 inode = 0;              // 0: none
  bool is_loss = false;       // something is gone that was there before the damage
  u64 directory = 0;          // of a name that went: where it stood, if that is known; 0: none
};

struct RepairOptions {
  bool dry_run = false;      // write nothing
  bool cut_journal = false;  // where the journal is damaged, go on with what comes before the damage
  bool data = true;          // read file data, as check does, and all copies of everything
  bool degraded = false;     // also without devices that are missing or stale, while everything has a copy
  std::function<void(const admin::CheckProgress&)> progress = {};
};

struct RepairReport {
  admin::CheckReport before;
  std::vector<Repair> repairs;  // in order; empty when nothing was found
  admin::CheckReport after;     // of the repaired filesystem
  std::string refused;          // not empty: why nothing can be done, and what to do
  bool written = false;

  bool found_nothing() const { return before.clean() && repairs.empty() && refused.empty(); }
  // Damaged data cannot be made good again; reading it gives an error, and check names it until the file is gone.
  bool left_nothing() const { return after.clean() && refused.empty(); }
};

// Errors: of opening; of pool::assemble; of the devices. Nothing was written then, or the filesystem is as it was, or repaired.
Result<RepairReport> repair(const admin::DeviceNames& devices, const RepairOptions& options);

// The same on any devices, on the only core of their runtime.
runtime::Task<Result<RepairReport>> repair_devices(std::vector<device::Device*> devices, RepairOptions options);

}  // namespace cowfs::repair
