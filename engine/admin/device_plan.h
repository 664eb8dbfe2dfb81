// What a change of a pool's devices comes to, before anything is written: the new map, and which chunks move. The same whether the
// filesystem is mounted or not.
#pragma once
#include <optional>
#include <vector>

#include "engine/admin/tools.h"
#include "engine/engine.h"
#include "engine/pool/change.h"

namespace cowfs::admin {

// Add and spare, which have a device come.
bool brings_device(DeviceChange::Kind kind);

struct PlannedChange {
  pool::Change change;
  std::vector<device::Device*> members;
  std::optional<u16> added;
};

// As it is with the devices that are there.
format::PoolMap map_now(const pool::Pool& pool);

// `added`: the device that comes, and its `uuid`. A removal is planned for a device that is evacuated. Errors: see change_devices
// (device_change.h). Precondition: the kind is not online.
Result<PlannedChange> plan_change(const pool::Pool& pool, const DeviceChange& change, device::Device* added, const format::Uuid& uuid);

// The map of the space that has a place for each of its chunks when the change is carried out, if that is a smaller one. What keeps the
// change from being possible with any is told by plan_change.
std::optional<format::PoolMap> smaller_space(const pool::Pool& pool, const DeviceChange& change);

// Of a resize. Error device_too_small (value: bytes): the device has less, or no room for superblocks would be left.
Result<u64> asked_capacity(const DeviceChange& change, const device::Device& device);

}  // namespace cowfs::admin
