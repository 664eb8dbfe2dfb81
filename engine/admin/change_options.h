// Options of a filesystem that may change after it was made, for what is written from the next mount on; what is there keeps what
// it has.
#pragma once
#include <optional>

#include "engine/admin/tools.h"
#include "engine/pool/assemble.h"

namespace cowfs::admin {

struct OptionChanges {  // what is absent stays
  std::optional<ChecksumKind> data_checksum, metadata_checksum;
};

// For threads that are no cores. Nothing else on the devices changes.
// Errors: of opening (device_in_use: it is mounted); of assembling, all devices present; superblock_checksum_kind_invalid (none,
// for metadata); of the devices.
Status set_options(const DeviceNames& devices, const OptionChanges& changes);

// The same of devices that were assembled and not used yet; what `assembled` says of its superblock follows.
runtime::Task<Status> change_options(pool::Assembled* assembled, OptionChanges changes);

}  // namespace cowfs::admin
