// Damage on purpose: plants one damage of a class that check can name, so that check and repair can be tried.
//
// For threads that are no cores.
#pragma once
#include <optional>

#include "engine/admin/tools.h"
#include "engine/device/device.h"
#include "engine/repair/metadata_editor.h"
#include "engine/runtime/task.h"

namespace cowfs::repair {

struct Planted {
  std::string what;        // was changed
  std::string impossible;  // not empty: why nothing was
  bool is_plain_damage = false;  // the bytes are not right by themselves
};

// Changes one place of `medium`, which is as `editor` found it; the checksums over it are right again, unless they are what is
// damaged. Not every change leads to a finding: see corrupt().
Planted plant(const MetadataEditor& editor, const Medium& medium, const std::string& finding_class, u64 seed);
// superblock_copy_damaged, on a device of this size; of a pool, its map may be what is damaged.
Planted plant_in_superblocks(const Medium& device, u64 device_blocks, const format::Superblock& superblock, u64 seed);

struct CorruptOptions {
  std::string finding_class;  // as `cowfs check --classes` lists them
  u64 seed = 1;               // where
  std::optional<u16> member = std::nullopt;  // only what this device of several has of it, which check may read past
  bool force = false;         // also on a block device
};

// Plants one damage, in all copies, on sound devices that are not mounted, after it was seen in memory that check names the class then.
// Nothing is written when `impossible` says why not. Errors: of opening; of pool::assemble; of reading its history; of the devices.
Result<Planted> corrupt(const admin::DeviceNames& devices, const CorruptOptions& options);

// The same on any devices; `run` runs a task on their only core, and waits for it.
using RunTask = std::function<void(std::function<runtime::Task<void>()>)>;
Result<Planted> corrupt_devices(const std::vector<device::Device*>& devices, const RunTask& run,
                                const CorruptOptions& options);

}  // namespace cowfs::repair
