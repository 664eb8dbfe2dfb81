#include "engine/admin/device_change.h"

#include "engine/admin/device_plan.h"
#include "engine/admin/device_session.h"
#include "engine/admin/format_device.h"
#include "engine/pool/assemble.h"
#include "engine/pool/change.h"
#include "engine/pool/superblocks.h"

namespace cowfs::admin {

namespace {

using device::Device;
using format::PoolMap;
using Kind = DeviceChange::Kind;

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
  const Result<PlannedChange> planned = plan_change(*assembled->pool, asked->change, asked->added, asked->uuid);
  co_return planned ? Status{} : Status{planned.error()};
}

Task<Status> carry_out(const Asked* asked) {
  Result<pool::Assembled> assembled = co_await pool::assemble(asked->devices, {.degraded = true});
  if (!assembled) co_return assembled.error();
  Result<PlannedChange> planned = plan_change(*assembled->pool, asked->change, asked->added, asked->uuid);
  if (!planned) co_return planned.error();
  std::function<void(u64)> tell;
  if (asked->progress) tell = [asked, total = planned->change.moves.size()](u64 done) { asked->progress(done, total); };
  Device* const leaves = asked->change.kind == Kind::remove ? assembled->pool->devices()[asked->change.member] : nullptr;
  Status done = co_await pool::carry_out(*assembled->pool, std::move(planned->change), std::move(planned->members),
                                         planned->added, std::move(tell));
  if (done && leaves != nullptr) done = co_await pool::forget_superblocks(*leaves);
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
