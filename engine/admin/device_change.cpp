#include "engine/admin/device_change.h"

#include "engine/admin/device_plan.h"
#include "engine/admin/device_session.h"
#include "engine/admin/format_device.h"
#include "engine/admin/shrink.h"
#include "engine/pool/assemble.h"
#include "engine/pool/change.h"
#include "engine/pool/reduce.h"
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
  ChangeProgress progress;
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
  if (asked->progress.moved)
    tell = [asked, total = planned->change.moves.size()](u64 done) { asked->progress.moved(done, total); };
  Device* const leaves = asked->change.kind == Kind::remove ? assembled->pool->devices()[asked->change.member] : nullptr;
  Status done = co_await pool::carry_out(*assembled->pool, std::move(planned->change), std::move(planned->members),
                                         planned->added, std::move(tell));
  if (done && leaves != nullptr) done = co_await pool::forget_superblocks(*leaves);
  co_return done;
}

// From this bucket of the space on nothing is used any more. Refused before anything is written, if too much is stored.
Task<Status> vacate(const Asked* asked, u64 bucket_count) {
  {
    const pool::AssembleOptions look{.degraded = true, .read_only = true};
    Result<pool::Assembled> looked = co_await pool::assemble(asked->devices, look);
    if (!looked) co_return looked.error();
    const Status fits = co_await check_fits(&*looked, bucket_count);
    if (!fits) co_return fits;
  }
  Result<pool::Assembled> assembled = co_await pool::assemble(asked->devices, {.degraded = true});
  if (!assembled) co_return assembled.error();
  ChunksDone tell = asked->progress.emptied;
  co_return co_await vacate_space(&*assembled, bucket_count, std::move(tell));
}

Status check_geometry(format::Superblock superblock) {
  format::seal(superblock);
  if (format::validate(superblock)) return {};
  return Error{Code::device_too_small, superblock.capacity_blocks * block_bytes};
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
Task<Status> resize_alone(const Asked* asked) {
  Device* device = asked->devices.front();
  const Result<u64> capacity = asked_capacity(asked->change, *device);
  if (!capacity) co_return capacity.error();
  const Result<pool::SuperblockFound> found = co_await pool::read_superblock(*device);
  if (!found) co_return found.error();
  format::Superblock superblock = found->superblock;
  superblock.sequence = superblock.sequence + 1;
  superblock.capacity_blocks = *capacity / block_bytes;
  superblock.bucket_count = (superblock.capacity_blocks - 1) / superblock.bucket_blocks;
  const Status possible = check_geometry(superblock);
  if (!possible) co_return possible;
  if (superblock.bucket_count < found->superblock.bucket_count) {
    const Status emptied = co_await vacate(asked, superblock.bucket_count);
    if (!emptied) co_return emptied;
  }
  co_return co_await pool::write_superblocks(*device, superblock);
}

// Where the chunks that are to move have no room, the last ones of the space go first, if what is stored fits into the others. What keeps
// that from being possible is told by the plan.
Task<Status> make_places(const Asked* asked) {
  const pool::AssembleOptions look{.degraded = true, .read_only = true};
  Result<pool::Assembled> looked = co_await pool::assemble(asked->devices, look);
  if (!looked || looked->pool == nullptr) co_return Status{};
  const std::optional<PoolMap> smaller = smaller_space(*looked->pool, asked->change);
  if (!smaller) co_return Status{};
  const Status emptied = co_await vacate(asked, smaller->copied_buckets());
  if (!emptied) co_return emptied;
  Result<pool::Assembled> assembled = co_await pool::assemble(asked->devices, {.degraded = true});
  if (!assembled) co_return assembled.error();
  pool::Pool& pool = *assembled->pool;
  pool::Change change{pool::reduced(map_now(pool), smaller->chunks()), {}};
  std::vector<Device*> members = pool.devices();
  std::function<void(u64)> nobody_hears;
  co_return co_await pool::carry_out(pool, std::move(change), std::move(members), std::nullopt,
                                     std::move(nobody_hears));
}

Task<bool> is_alone(const std::vector<Device*>* devices) {
  if (devices->size() != 1) co_return false;
  const Result<pool::SuperblockFound> found = co_await pool::read_superblock(*devices->front());
  co_return found && !format::is_of_pool(found->superblock);
}

}  // namespace

Task<Status> change_devices(std::vector<Device*> devices, DeviceChange change, Device* added, format::Uuid uuid,
                            ChangeProgress progress) {
  Asked asked{std::move(devices), std::move(change), added, uuid, std::move(progress)};
  if (asked.change.kind == Kind::online) co_return co_await bring_online(&asked);
  if (asked.change.kind == Kind::resize && co_await is_alone(&asked.devices)) co_return co_await resize_alone(&asked);
  const Status placed = co_await make_places(&asked);
  if (!placed) co_return placed;
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
                      const ChangeProgress& progress) {
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
