#include "engine/pool/assemble.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/device/aligned_buffer.h"
#include "engine/format/journal.h"

namespace cowfs::pool {

using device::Device;
using format::MemberState;
using format::PoolMap;
using format::Superblock;

namespace {

struct Named {
  Device* device = nullptr;
  Superblock superblock;
  std::optional<PoolMap> map;  // its own; none: damaged
  u16 number = 0;              // in the newest map
  std::vector<std::string> damaged;  // copies of the superblock, and the map
};

Error at(Code code, u64 value, std::size_t index) { return {code, value, {.device = static_cast<u32>(index)}}; }

// The newest of all maps.
Result<const PoolMap*> newest_of(const std::vector<Named>& named) {
  const PoolMap* newest = nullptr;
  for (std::size_t i = 0; i < named.size(); ++i) {
    const PoolMap* map = named[i].map ? &*named[i].map : nullptr;
    if (map == nullptr) continue;
    if (newest != nullptr && map->sequence == newest->sequence && map->session != newest->session)
      return at(Code::pool_split_brain, map->sequence, i);
    if (newest == nullptr || map->sequence > newest->sequence) newest = map;
  }
  if (newest == nullptr) return at(Code::pool_map_damaged, 0, 0);
  return newest;
}

bool is_stale(const PoolMap& map, u16 member) { return map.members[member].state == static_cast<u8>(MemberState::stale); }

std::optional<u16> number_in(const PoolMap& map, const format::Uuid& device) {
  const auto found = std::find_if(map.members.begin(), map.members.end(), [&](const auto& one) { return one.device == device; });
  if (found == map.members.end()) return std::nullopt;
  return static_cast<u16>(found - map.members.begin());
}

// Each named device at its number in the newest map, which may be another one than when its superblock was written.
Result<std::vector<Device*>> in_order(std::vector<Named>& named, const PoolMap& newest) {
  std::vector<Device*> members(newest.members.size());
  for (std::size_t i = 0; i < named.size(); ++i) {
    const std::optional<u16> found = number_in(newest, named[i].superblock.device_uuid);
    if (!found) return at(Code::pool_device_foreign, i + 1, i);
    const u16 number = named[i].number = *found;
    if (members[number] != nullptr) return at(Code::pool_device_twice, i + 1, i);
    if (named[i].device->capacity().value / block_bytes < newest.members[number].capacity_blocks)
      return at(Code::device_truncated, named[i].device->capacity().value, i);
    members[number] = named[i].device;
  }
  return members;
}

// It was stale in that map, and has got since what it should hold.
bool came_back_after(const PoolMap& newest, u16 member, const PoolMap& map) {
  return newest.members[member].current_since > map.sequence;
}

// `map` is of a member that is stale: whether it calls one stale that counts, without a reason.
bool contradicts(const PoolMap& map, const PoolMap& newest) {
  for (u16 other = 0; other < map.members.size(); ++other) {
    const std::optional<u16> now = number_in(newest, map.members[other].device);
    if (now && is_stale(map, other) && !is_stale(newest, *now) && !came_back_after(newest, *now, map)) return true;
  }
  return false;
}

// Two halves were mounted, each without the other: each says that the other is stale, and each has what the other lacks.
Status check_one_history(const std::vector<Named>& named, const PoolMap& newest) {
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (!named[i].map || !is_stale(newest, named[i].number)) continue;
    if (contradicts(*named[i].map, newest)) return at(Code::pool_split_brain, newest.sequence, i);
  }
  return {};
}

// The newest epoch that a commit block in any copy of the ring is of. Errors: of the device, when a place could be read in no
// copy: an epoch that is too low would make others look old that are not.
Task<Result<u64>> newest_epoch(Pool& pool, const Superblock& superblock) {
  constexpr u64 slot_bytes = format::commit_slot_blocks * block_bytes;
  device::AlignedBuffer slot(slot_bytes);
  u64 newest = 0;
  for (u64 i = 0; i < format::commit_slots; ++i) {
    Status unread;
    bool is_read = false;
    for (u8 copy = 1; copy <= pool.copies(); ++copy) {
      const Status read = co_await pool.read(superblock.commit_ring_block * block_bytes + i * slot_bytes, slot.span(), copy);
      if (!read) unread = read;
      is_read = is_read || read;
      if (!read || !format::validate_commit(slot.span(), format::filesystem_id(superblock))) continue;
      format::CommitBlock block;
      std::memcpy(&block, slot.data(), sizeof block);
      newest = std::max<u64>(newest, block.epoch);
    }
    if (!is_read) co_return unread.error();
  }
  co_return newest;
}

// A superblock names a map that was durable before: who has lost the newest one since was told of it all the same.
bool knows_last_mount(const Named& one, const PoolMap& newest) {
  return one.map ? one.map->mounts >= newest.mounts : one.superblock.map_sequence == newest.sequence;
}

// A mount tells every member of itself before it commits anything: who does not know of the last one, although it committed,
// is an old copy. If it did not, it may have been cut off while it told them.
void distrust_ignorant(const std::vector<Named>& named, Pool& pool, u64 epoch) {
  for (const Named& one : named)
    if (!knows_last_mount(one, pool.map()) && epoch > pool.map().epoch) pool.distrust(one.number);
}

Status check_complete(const std::vector<Named>& named, const Pool& pool, const AssembleOptions& options,
                      std::vector<std::string>& notes) {
  u64 missing = 0;
  std::optional<std::size_t> stale;
  for (u16 number = 0; number < pool.map().members.size(); ++number) {
    if (pool.is_current(number)) continue;
    if (pool.member(number) == nullptr) {
      ++missing;
      notes.push_back(fmt::format("member {} is missing", number));
      continue;
    }
    const bool is_needed = pool.map().chunks_on(number) > 0;
    for (std::size_t i = 0; i < named.size() && is_needed; ++i)
      if (named[i].number == number) stale = i;
    notes.push_back(fmt::format("member {} ({}) is stale: what is on it is not used", number, pool.member(number)->describe()));
  }
  if (const u64 lost = pool.chunks_lost(); lost > 0) {
    if (missing > 0) return Error{Code::superblock_devices_missing, missing};
    return Error{Code::pool_chunks_lost, lost};
  }
  if (options.degraded) return {};
  if (missing > 0) return Error{Code::superblock_devices_missing, missing};
  if (stale) return at(Code::pool_device_stale, *stale + 1, *stale);
  return {};
}

Task<Result<Assembled>> assemble_pool(std::vector<Named> named, AssembleOptions options) {
  const Result<const PoolMap*> newest = newest_of(named);
  if (!newest) co_return newest.error();
  Result<std::vector<Device*>> members = in_order(named, **newest);
  if (!members) co_return members.error();
  if (const Status one = check_one_history(named, **newest); !one) co_return one.error();
  Assembled assembled;
  for (const Named& one : named)
    if (one.map && one.map->sequence == (*newest)->sequence) assembled.superblock = one.superblock;
  if ((*newest)->is_striped() && assembled.superblock.first_data_bucket > (*newest)->copied_buckets())
    co_return at(Code::pool_map_damaged, 0, 0);
  assembled.pool = std::make_unique<Pool>(assembled.superblock, **newest, std::move(*members), options.read_only);
  assembled.device = assembled.pool.get();
  // What is missing is told first: it may hold the ring.
  const Result<u64> epoch = co_await newest_epoch(*assembled.pool, assembled.superblock);
  distrust_ignorant(named, *assembled.pool, epoch ? *epoch : 0);
  if (const Status complete = check_complete(named, *assembled.pool, options, assembled.absent); !complete)
    co_return complete.error();
  if (!epoch) co_return epoch.error();
  assembled.superblock.device_index = 0;
  assembled.superblock.device_count = 1;
  for (const Named& one : named)
    for (const std::string& copy : one.damaged)
      if (assembled.pool->is_current(one.number))
        assembled.damaged_copies.push_back(fmt::format("member {} ({}): {}", one.number, one.device->describe(), copy));
  if (!options.read_only) {
    const Status begun = co_await assembled.pool->begin_mount(*epoch);
    if (!begun) co_return begun.error();
  }
  co_return std::move(assembled);
}

}  // namespace

Task<std::optional<PoolMap>> read_map(Device& device, const Superblock& superblock) {
  device::AlignedBuffer raw(format::pool_map_bytes_max);
  std::optional<PoolMap> none;
  const Status read = co_await device.read(format::pool_map_block(superblock.map_sequence) * block_bytes, raw.span());
  if (!read) co_return none;
  Result<PoolMap> map =
      format::decode_pool_map(raw.span(), format::filesystem_id(superblock), superblock.bucket_blocks);
  if (!map || map->sequence != superblock.map_sequence) co_return none;
  co_return std::move(*map);
}

Task<Status> check_returned(Device& device, const Pool& pool, u16 member) {
  const Result<SuperblockFound> found = co_await read_superblock(device);
  if (!found) co_return found.error();
  const Superblock& superblock = found->superblock;
  const bool is_ours = superblock.uuid == pool.superblock().uuid && superblock.device_uuid == pool.map().members[member].device;
  if (!is_ours) co_return at(Code::pool_device_foreign, 1, 0);
  if (device.capacity().value / block_bytes < pool.map().members[member].capacity_blocks)
    co_return at(Code::device_truncated, device.capacity().value, 0);
  const std::optional<PoolMap> map = co_await read_map(device, superblock);
  if (map && (map->sequence > pool.map().sequence || contradicts(*map, pool.map())))
    co_return at(Code::pool_split_brain, map->sequence, 0);
  co_return Status{};
}

Task<Result<Assembled>> assemble(std::vector<Device*> devices, AssembleOptions options) {
  std::vector<Named> named;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    Result<SuperblockFound> found = co_await read_superblock(*devices[i]);
    if (!found) {
      Error error = found.error();
      error.place.device = static_cast<u32>(i);
      co_return error;
    }
    named.push_back({devices[i], found->superblock, std::nullopt, 0, std::move(found->notes)});
    if (named[i].superblock.uuid != named[0].superblock.uuid) co_return at(Code::pool_device_foreign, i + 1, i);
  }
  if (!format::is_of_pool(named[0].superblock)) {
    if (named.size() > 1) co_return at(Code::pool_device_twice, 2, 1);
    Assembled alone;
    alone.device = devices[0];
    alone.device->set_id(format::short_id(named[0].superblock.device_uuid));
    alone.superblock = named[0].superblock;
    alone.damaged_copies = std::move(named[0].damaged);
    co_return std::move(alone);
  }
  for (Named& one : named) {
    one.map = co_await read_map(*one.device, one.superblock);
    if (!one.map)
      one.damaged.push_back(
          fmt::format("map of the devices (block {})", format::pool_map_block(one.superblock.map_sequence)));
  }
  co_return co_await assemble_pool(std::move(named), options);
}

}  // namespace cowfs::pool
