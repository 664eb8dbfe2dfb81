#include "engine/admin/device_change.h"

#include "engine/admin/device_session.h"
#include "engine/admin/format_device.h"
#include "engine/device/aligned_buffer.h"
#include "engine/pool/assemble.h"
#include "engine/pool/change.h"

namespace cowfs::admin {

namespace {

using device::Device;
using format::PoolMap;
using Kind = DeviceChange::Kind;

bool brings_device(Kind kind) { return kind == Kind::add || kind == Kind::spare; }

struct Planned {
  pool::Change change;
  std::vector<Device*> members;
  std::optional<u16> added;
};

// As it is with the devices that are there.
PoolMap map_now(const pool::Pool& pool) {
  PoolMap map = pool.map();
  for (u16 member = 0; member < map.members.size(); ++member)
    if (!pool.is_current(member)) map.members[member].state = static_cast<u8>(format::MemberState::stale);
  return map;
}

bool moves_chunks(Kind kind) { return kind != Kind::offline && kind != Kind::online && kind != Kind::label; }

class Planner {
 public:
  Planner(const pool::Pool& pool, const DeviceChange& change, Device* added, const format::Uuid& uuid)
      : pool_(pool), asked_(change), added_(added), uuid_(uuid), map_(map_now(pool)) {}

  Result<Planned> plan() {
    if (map_.is_striped() && moves_chunks(asked_.kind)) return Error{Code::pool_stripes_fixed, map_.data_shards};
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
        return moved(pool::evacuated(map_, asked_.member));
    }
  }

 private:
  Result<Planned> moved(Result<pool::Change> change) const {
    if (!change) return change.error();
    return Planned{std::move(*change), pool_.devices(), std::nullopt};
  }
  Result<Planned> mapped(Result<PoolMap> map) const {
    if (!map) return map.error();
    return Planned{{std::move(*map), {}}, pool_.devices(), std::nullopt};
  }

  Result<Planned> offline() {
    map_.members[asked_.member].state = static_cast<u8>(format::MemberState::stale);
    const auto counts = [this](u16 member) { return map_.members[member].state == static_cast<u8>(format::MemberState::current); };
    if (const u64 lost = map_.lost(counts); lost > 0) return Error{Code::pool_copies_needed, lost};
    return mapped(std::move(map_));
  }

  Result<Planned> label() const { return mapped(pool::relabelled(map_, asked_.member, asked_.label)); }

  Result<Planned> resize() {
    const Device* device = pool_.member(asked_.member);
    if (device == nullptr) return Error{Code::superblock_devices_missing, 1};
    pool::grow(map_, map_.members[asked_.member], device->capacity().value / block_bytes, bucket_blocks());
    return moved(pool::extended(map_));
  }

  // Emptied already: the caller sees to that.
  Result<Planned> remove() const {
    Result<Planned> planned = mapped(pool::without(map_, asked_.member));
    if (planned) planned->members.erase(planned->members.begin() + asked_.member);
    return planned;
  }

  Result<Planned> add() {
    if (map_.members.size() >= format::pool_members_max) return Error{Code::pool_members_too_many, map_.members.size() + 1};
    const u64 capacity_blocks = added_->capacity().value / block_bytes;
    map_.members.push_back(pool::member_of_size(map_, uuid_, asked_.label, capacity_blocks, bucket_blocks()));
    if (map_.members.back().chunks == 0) return Error{Code::device_too_small, added_->capacity().value};
    if (const u64 bytes = format::encoded_bytes(map_); bytes > format::pool_map_bytes_max) return Error{Code::pool_map_full, bytes};
    Result<Planned> planned = asked_.kind == Kind::add ? moved(pool::extended(map_)) : mapped(map_);
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

// Nobody takes it for a device of a filesystem any more.
Task<Status> forget_superblocks(Device* device) {
  device::AlignedBuffer zeros(block_bytes);
  for (const u64 block : {format::superblock_first_copy, format::superblock_second_copy, device->capacity().value / block_bytes - 1}) {
    const Status written = co_await device->write(block * block_bytes, zeros.span());
    if (!written) co_return written;
  }
  co_return co_await device->flush();
}

struct Asked {
  std::vector<Device*> devices;
  DeviceChange change;
  Device* added = nullptr;
  format::Uuid uuid{};
  ChunksDone progress;
};

// Nothing is written.
Task<Status> check(const Asked* asked) {
  const pool::AssembleOptions look{.degraded = true, .read_only = true};
  const Result<pool::Assembled> assembled = co_await pool::assemble(asked->devices, look);
  if (!assembled) co_return assembled.error();
  if (assembled->pool == nullptr) co_return Error{Code::pool_alone};
  const Result<Planned> planned = Planner(*assembled->pool, asked->change, asked->added, asked->uuid).plan();
  co_return planned ? Status{} : Status{planned.error()};
}

Task<Status> carry_out(const Asked* asked) {
  Result<pool::Assembled> assembled = co_await pool::assemble(asked->devices, {.degraded = true});
  if (!assembled) co_return assembled.error();
  Result<Planned> planned = Planner(*assembled->pool, asked->change, asked->added, asked->uuid).plan();
  if (!planned) co_return planned.error();
  std::function<void(u64)> tell;
  if (asked->progress) tell = [asked, total = planned->change.moves.size()](u64 done) { asked->progress(done, total); };
  Device* const leaves = asked->change.kind == Kind::remove ? assembled->pool->devices()[asked->change.member] : nullptr;
  Status done = co_await pool::carry_out(*assembled->pool, std::move(planned->change), std::move(planned->members),
                                         planned->added, std::move(tell));
  if (done && leaves != nullptr) done = co_await forget_superblocks(leaves);
  co_return done;
}

Task<Status> bring_online(const Asked* asked) {
  Result<pool::Assembled> assembled = co_await pool::assemble(asked->devices, {.degraded = true});
  if (!assembled) co_return assembled.error();
  pool::Pool* pool = assembled->pool.get();
  if (pool == nullptr) co_return Error{Code::pool_alone};
  const u16 member = asked->change.member;
  if (member >= pool->map().members.size()) co_return Error{Code::pool_member_unknown, member};
  if (pool->member(member) == nullptr) co_return Error{Code::superblock_devices_missing, 1};
  if (pool->is_current(member)) co_return Status{};
  device::BackgroundReader reader([] { return u64{0}; }, 0);
  const pool::RefillProgress nobody_hears;
  co_return co_await pool->refill(member, reader, nobody_hears);
}

// A filesystem on one device. The new superblock, or the old one, counts.
Task<Status> resize_alone(Device* device) {
  const Result<pool::SuperblockFound> found = co_await pool::read_superblock(*device);
  if (!found) co_return found.error();
  format::Superblock superblock = found->superblock;
  superblock.sequence = superblock.sequence + 1;
  superblock.capacity_blocks = device->capacity().value / block_bytes;
  superblock.bucket_count = (superblock.capacity_blocks - 1) / superblock.bucket_blocks;
  co_return co_await pool::write_superblocks(*device, superblock);
}

Task<bool> is_alone(const std::vector<Device*>* devices) {
  if (devices->size() != 1) co_return false;
  const Result<pool::SuperblockFound> found = co_await pool::read_superblock(*devices->front());
  co_return found && !format::is_of_pool(found->superblock);
}

}  // namespace

Task<Status> change_devices(std::vector<Device*> devices, DeviceChange change, Device* added, format::Uuid uuid,
                            ChunksDone progress) {
  Asked asked{std::move(devices), std::move(change), added, uuid, std::move(progress)};
  if (asked.change.kind == Kind::online) co_return co_await bring_online(&asked);
  if (asked.change.kind == Kind::resize && co_await is_alone(&asked.devices)) co_return co_await resize_alone(asked.devices.front());
  if (asked.change.kind == Kind::remove) {
    asked.change.kind = Kind::evacuate;
    Status emptied = co_await check(&asked);
    if (emptied) emptied = co_await carry_out(&asked);
    if (!emptied) co_return emptied;
    asked.change.kind = Kind::remove;
  }
  const Status possible = co_await check(&asked);
  if (!possible) co_return possible;
  co_return co_await carry_out(&asked);
}

Status change_devices(const DeviceNames& devices, const DeviceChange& change, const std::string& added, bool force,
                      const ChunksDone& progress) {
  DeviceNames all = devices;
  const Place place{.device = static_cast<u32>(devices.names.size())};
  if (brings_device(change.kind)) {
    const Result<std::string> signature = find_signature(added);
    if (!signature) return Error{signature.error().code, signature.error().value, place};
    if (!force && !signature->empty()) return Error{Code::device_has_signature, 0, place};
    all.names.push_back(added);
  }
  const auto session = DeviceSession::open(all, device::OpenMode::read_write);
  if (!session) return session.error();
  std::vector<Device*> others = (*session)->devices();
  Device* fresh = nullptr;
  if (brings_device(change.kind)) {
    fresh = others.back();
    others.pop_back();
    const bool is_ours = (*session)->run([fresh] { return carries_ours(*fresh); });
    if (!force && is_ours) return Error{Code::device_has_signature, 0, place};
  }
  const format::Uuid uuid = random_identity().device;
  return (*session)->run([&] { return change_devices(others, change, fresh, uuid, progress); });
}

}  // namespace cowfs::admin
