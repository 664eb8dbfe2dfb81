#include "engine/admin/device_plan.h"

#include <algorithm>

#include "engine/pool/reduce.h"

namespace cowfs::admin {

using device::Device;
using format::PoolMap;
using Kind = DeviceChange::Kind;

bool brings_device(Kind kind) { return kind == Kind::add || kind == Kind::spare; }

PoolMap map_now(const pool::Pool& pool) {
  PoolMap map = pool.map();
  for (u16 member = 0; member < map.members.size(); ++member)
    if (!pool.is_current(member)) map.members[member].state = static_cast<u8>(format::MemberState::stale);
  return map;
}

namespace {

class Planner {
 public:
  Planner(const pool::Pool& pool, const DeviceChange& change, Device* added, const format::Uuid& uuid)
      : pool_(pool), asked_(change), added_(added), uuid_(uuid), map_(map_now(pool)) {}

  Result<PlannedChange> plan() {
    if (brings_device(asked_.kind)) return add();
    if (asked_.member >= map_.members.size()) return Error{Code::pool_member_unknown, asked_.member};
    switch (asked_.kind) {
      case Kind::offline:
        return offline();
      case Kind::label:
        return label();
      case Kind::resize:
        return resize();
      case Kind::remove:
        return remove();
      default:
        return moved(pool::moved_off(map_, asked_.member, 0));
    }
  }

  Result<u32> chunks_that_fit() {
    if (asked_.member >= map_.members.size()) return Error{Code::pool_member_unknown, asked_.member};
    if (asked_.kind == Kind::evacuate || asked_.kind == Kind::remove)
      return pool::chunks_without(map_, asked_.member, 0);
    if (asked_.kind != Kind::resize) return map_.chunks();
    const Result<format::PoolMember> sized = resized();
    if (!sized) return sized.error();
    return pool::chunks_without(map_, asked_.member, sized->chunks);
  }

 private:
  Result<PlannedChange> moved(Result<pool::Change> change) const {
    if (!change) return change.error();
    return PlannedChange{std::move(*change), pool_.devices(), std::nullopt};
  }
  Result<PlannedChange> mapped(Result<PoolMap> map) const {
    if (!map) return map.error();
    return PlannedChange{{std::move(*map), {}}, pool_.devices(), std::nullopt};
  }

  Result<PlannedChange> offline() {
    map_.members[asked_.member].state = static_cast<u8>(format::MemberState::stale);
    const auto counts = [this](u16 member) { return map_.members[member].state == static_cast<u8>(format::MemberState::current); };
    if (const u64 lost = map_.lost(counts); lost > 0) return Error{Code::pool_copies_needed, lost};
    return mapped(std::move(map_));
  }

  Result<PlannedChange> label() const { return mapped(pool::relabelled(map_, asked_.member, asked_.label)); }

  Result<PlannedChange> resize() {
    const Result<format::PoolMember> sized = resized();
    if (!sized) return sized.error();
    format::PoolMember& member = map_.members[asked_.member];
    if (sized->capacity_blocks >= member.capacity_blocks) {
      member = *sized;
      return moved(pool::extended(map_));
    }
    Result<pool::Change> change = pool::moved_off(map_, asked_.member, sized->chunks);
    if (change) change->map.members[asked_.member] = *sized;
    return moved(std::move(change));
  }

  Result<format::PoolMember> resized() const {
    const Device* device = pool_.member(asked_.member);
    if (device == nullptr) return Error{Code::superblock_devices_missing, 1};
    const Result<u64> capacity = asked_capacity(asked_, *device);
    if (!capacity) return capacity.error();
    format::PoolMember member = map_.members[asked_.member];
    pool::set_size(map_, member, *capacity / block_bytes, bucket_blocks());
    if (member.chunks == 0) return Error{Code::device_too_small, *capacity};
    return member;
  }

  // Emptied already: the caller sees to that.
  Result<PlannedChange> remove() const {
    Result<PlannedChange> planned = mapped(pool::without(map_, asked_.member));
    if (planned) planned->members.erase(planned->members.begin() + asked_.member);
    return planned;
  }

  Result<PlannedChange> add() {
    if (map_.members.size() >= format::pool_members_max) return Error{Code::pool_members_too_many, map_.members.size() + 1};
    const u64 capacity_blocks = added_->capacity().value / block_bytes;
    map_.members.push_back(pool::member_of_size(map_, uuid_, asked_.label, capacity_blocks, bucket_blocks()));
    if (map_.members.back().chunks == 0) return Error{Code::device_too_small, added_->capacity().value};
    if (const u64 bytes = format::encoded_bytes(map_); bytes > format::pool_map_bytes_max) return Error{Code::pool_map_full, bytes};
    Result<PlannedChange> planned = asked_.kind == Kind::add ? moved(pool::extended(map_)) : mapped(map_);
    if (!planned) return planned;
    planned->members.push_back(added_);
    planned->added = static_cast<u16>(map_.members.size() - 1);
    return planned;
  }

  u64 bucket_blocks() const { return pool_.superblock().bucket_blocks; }

  const pool::Pool& pool_;
  const DeviceChange& asked_;
  Device* const added_;
  const format::Uuid uuid_;
  PoolMap map_;
};

}  // namespace

Result<u64> asked_capacity(const DeviceChange& change, const Device& device) {
  const u64 there = device.capacity().value;
  const u64 asked = change.capacity_bytes.value_or(there);
  if (asked > there || asked < format::superblock_second_copy * 2 * block_bytes)
    return Error{Code::device_too_small, std::min(asked, there)};
  return asked;
}

// In stripes the space stays.
std::optional<PoolMap> smaller_space(const pool::Pool& pool, const DeviceChange& change) {
  if (pool.map().is_striped()) return std::nullopt;
  const Result<u32> chunks = Planner(pool, change, nullptr, {}).chunks_that_fit();
  if (!chunks || *chunks == pool.map().chunks()) return std::nullopt;
  PoolMap smaller = pool::reduced(map_now(pool), *chunks);
  format::Superblock superblock = pool::with_space_of(pool.superblock(), smaller);
  format::seal(superblock);
  if (!format::validate(superblock)) return std::nullopt;
  return smaller;
}

Result<PlannedChange> plan_change(const pool::Pool& pool, const DeviceChange& change, Device* added, const format::Uuid& uuid) {
  return Planner(pool, change, added, uuid).plan();
}

}  // namespace cowfs::admin
