#include "engine/admin/mounted_devices.h"

#include "engine/admin/device_plan.h"
#include "engine/admin/format_device.h"
#include "engine/pool/live_change.h"
#include "engine/pool/superblocks.h"

namespace cowfs::admin {

namespace {

constexpr format::Uuid no_uuid{};  // no device is new

using Kind = DeviceChange::Kind;

Task<Status> refill(fs::FilesystemState& state, pool::Pool& pool, u16 member, DeviceWork work) {
  device::BackgroundReader reader([&state] { return state.operations(); }, work.bytes_per_second);
  co_return co_await pool.refill(member, reader, std::move(work.progress));
}

Task<Status> bring_online(fs::FilesystemState& state, pool::Pool& pool, u16 member, device::Device* found, DeviceWork work) {
  if (pool.is_current(member)) co_return Status{};
  if (found != nullptr) {
    const Status belongs = co_await pool::check_returned(*found, pool, member);
    if (!belongs) co_return belongs;
    pool.found_again(member, *found);
  }
  if (pool.member(member) == nullptr) co_return Error{Code::superblock_devices_missing, 1};
  co_return co_await refill(state, pool, member, std::move(work));
}

// Where the chunks that are to move have no room, the last ones of the space go first.
Task<Status> make_places(fs::FilesystemState& state, pool::Pool& pool, const DeviceChange* change,
                         const DeviceWork* work) {
  const std::optional<format::PoolMap> smaller = smaller_space(pool, *change);
  if (!smaller) co_return Status{};
  fs::FilesystemState::VacateProgress progress = work->progress;
  const Status vacated = co_await state.vacate(smaller->copied_buckets(), std::move(progress));
  if (!vacated) co_return vacated;
  const Status told = co_await pool.set_space(*smaller);
  co_await state.space_shrank(pool.superblock());
  co_return told;
}

// A member on which less is used when everything has moved.
bool any_shorter(const format::PoolMap& planned, const format::PoolMap& now) {
  for (std::size_t member = 0; member < now.members.size(); ++member)
    if (planned.members[member].capacity_blocks < now.members[member].capacity_blocks) return true;
  return false;
}

// What is planned, and done while clients use the filesystem, which then learns how much space it has.
Task<Status> carry_out(fs::FilesystemState& state, pool::Pool& pool, DeviceChange change, device::Device* added, format::Uuid uuid,
                       DeviceWork work) {
  const Status placed = co_await make_places(state, pool, &change, &work);
  if (!placed) co_return placed;
  Result<PlannedChange> planned = plan_change(pool, change, added, uuid);
  if (!planned) co_return planned.error();
  device::BackgroundReader reader([&state] { return state.operations(); }, work.bytes_per_second);
  pool::LiveChange live(pool, reader, std::move(work.progress));
  const format::PoolMap sized = planned->change.map;
  const bool is_shorter = any_shorter(sized, pool.map());
  if (is_shorter) planned->change.map.members = pool.map().members;
  Status done = co_await live.carry_out(std::move(planned->change), added);
  state.space_grew(pool.superblock());
  if (done && is_shorter) {
    co_await pool.set_sizes(sized);
    done = co_await pool.renew();
  }
  co_return done;
}

Task<Status> remove(fs::FilesystemState& state, pool::Pool& pool, u16 member, DeviceWork work) {
  const DeviceChange emptied{.kind = Kind::evacuate, .member = member};
  Status done = co_await carry_out(state, pool, emptied, nullptr, no_uuid, std::move(work));
  device::Device* const leaves = pool.member(member);
  if (done) done = co_await pool.let_go(member);
  if (done && leaves != nullptr) done = co_await pool::forget_superblocks(*leaves);
  co_return done;
}

Task<Status> take_in(fs::FilesystemState& state, pool::Pool& pool, DeviceChange change, device::Device* fresh, format::Uuid uuid,
                     DeviceWork work) {
  const bool is_ours = co_await carries_ours(*fresh);
  if (is_ours && !work.force) co_return Error{Code::device_has_signature};
  co_return co_await carry_out(state, pool, std::move(change), fresh, uuid, std::move(work));
}

Task<Status> change(fs::FilesystemState& state, pool::Pool& pool, DeviceChange change, device::Device* found, format::Uuid uuid,
                    DeviceWork work) {
  if (brings_device(change.kind)) co_return co_await take_in(state, pool, std::move(change), found, uuid, std::move(work));
  if (change.member >= pool.map().members.size()) co_return Error{Code::pool_member_unknown, change.member};
  switch (change.kind) {
    case Kind::offline:
      co_return co_await pool.take_offline(change.member);
    case Kind::label:
      co_return co_await pool.relabel(change.member, change.label);
    case Kind::online:
      co_return co_await bring_online(state, pool, change.member, found, std::move(work));
    case Kind::remove:
      co_return co_await remove(state, pool, change.member, std::move(work));
    default:
      co_return co_await carry_out(state, pool, std::move(change), nullptr, no_uuid, std::move(work));
  }
}

Status may_change(const fs::FilesystemState& state, const pool::Assembled& assembled) {
  if (state.settings().read_only) return Error{Code::read_only_filesystem};
  if (assembled.pool == nullptr) return Error{Code::pool_alone};
  return {};
}

}  // namespace

Task<Status> change_mounted(fs::FilesystemState& state, pool::Assembled& assembled, DeviceChange asked, device::Device* found,
                            format::Uuid uuid, DeviceWork work) {
  if (const Status may = may_change(state, assembled); !may) co_return may;
  if (!state.device_lock().try_acquire()) co_return Error{Code::pool_change_under_way};
  const runtime::MutexHold hold(state.device_lock());
  co_return co_await change(state, *assembled.pool, std::move(asked), found, uuid, std::move(work));
}

Task<Status> replace_mounted(fs::FilesystemState& state, pool::Assembled& assembled, u16 member, device::Device* fresh,
                             format::Uuid uuid, DeviceWork work) {
  if (const Status may = may_change(state, assembled); !may) co_return may;
  if (!state.device_lock().try_acquire()) co_return Error{Code::pool_change_under_way};
  const runtime::MutexHold hold(state.device_lock());
  pool::Pool& pool = *assembled.pool;
  if (member >= pool.map().members.size() || pool.is_current(member)) co_return Error{Code::pool_member_needed, member};
  if (!work.force && co_await carries_ours(*fresh)) co_return Error{Code::device_has_signature};
  const Status replaced = co_await pool.replace(member, *fresh, uuid);
  if (!replaced) co_return replaced;
  co_return co_await refill(state, pool, member, std::move(work));
}

}  // namespace cowfs::admin
