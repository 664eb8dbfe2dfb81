#include "engine/admin/members.h"

#include "engine/admin/device_session.h"
#include "engine/admin/format_device.h"
#include "engine/pool/assemble.h"

namespace cowfs::admin {

namespace {

Task<Status> refill(pool::Pool* pool, u16 member, const ChunksDone* progress) {
  pool::RefillProgress tell;
  if (*progress) tell = [progress](u64 done, u64 total) { return (*progress)(done, total), true; };
  device::BackgroundReader reader([] { return u64{0}; }, 0);
  co_return co_await pool->refill(member, reader, std::move(tell));
}

Task<Status> replace(std::vector<device::Device*> devices, u16 number, device::Device* replacement, bool force,
                     const ChunksDone* progress) {
  const Place place{.device = static_cast<u32>(devices.size())};
  if (!force && co_await carries_ours(*replacement)) co_return Error{Code::device_has_signature, 0, place};
  Result<pool::Assembled> assembled = co_await pool::assemble(std::move(devices), {.degraded = true});
  if (!assembled) co_return assembled.error();
  pool::Pool* pool = assembled->pool.get();
  if (pool == nullptr || number >= pool->map().members.size() || pool->is_current(number))
    co_return Error{Code::pool_member_needed, number};
  const Status replaced = co_await pool->replace(number, *replacement, random_identity().device);
  if (!replaced) co_return replaced;
  co_return co_await refill(pool, number, progress);
}

Task<void> scrub_into(Filesystem* filesystem, ScrubOptions options, Result<ScrubReport>* report) {
  *report = co_await filesystem->scrub(std::move(options));
}

}  // namespace

Task<Result<std::vector<u16>>> refill_stale(std::vector<device::Device*> devices, ChunksDone progress) {
  Result<pool::Assembled> assembled = co_await pool::assemble(std::move(devices), {.degraded = true});
  if (!assembled) co_return assembled.error();
  std::vector<u16> refilled;
  pool::Pool* pool = assembled->pool.get();
  for (u16 member = 0; pool != nullptr && member < pool->map().members.size(); ++member) {
    if (pool->member(member) == nullptr || pool->is_current(member)) continue;
    const Status done = co_await refill(pool, member, &progress);
    if (!done) co_return done.error();
    refilled.push_back(member);
  }
  co_return refilled;
}

Result<std::vector<u16>> bring_up_to_date(const DeviceNames& devices, const ChunksDone& progress) {
  const auto session = DeviceSession::open(devices, device::OpenMode::read_write);
  if (!session) return session.error();
  const std::vector<device::Device*> opened = (*session)->devices();
  return (*session)->run([&opened, &progress] { return refill_stale(opened, progress); });
}

Result<ScrubReport> scrub_devices(const DeviceNames& devices, bool degraded, const ScrubOptions& options) {
  MountOptions how;
  how.devices = devices.names;
  how.degraded = degraded;
  how.pin = false;
  how.populate_cache = false;
  auto filesystem = Filesystem::mount(how);
  if (!filesystem) return filesystem.error();
  Result<ScrubReport> report = ScrubReport{};
  (*filesystem)->run(0, [&] { return scrub_into(filesystem->get(), options, &report); });
  const Status unmounted = (*filesystem)->unmount();
  if (!unmounted) return unmounted.error();
  return report;
}

Status replace_device(const DeviceNames& devices, u16 number, const std::string& replacement, bool force,
                      const ChunksDone& progress) {
  const Place place{.device = static_cast<u32>(devices.names.size())};
  const Result<std::string> signature = find_signature(replacement);
  if (!signature) return Error{signature.error().code, signature.error().value, place};
  if (!force && !signature->empty()) return Error{Code::device_has_signature, 0, place};
  DeviceNames all = devices;
  all.names.push_back(replacement);
  const auto session = DeviceSession::open(all, device::OpenMode::read_write);
  if (!session) return session.error();
  std::vector<device::Device*> others = (*session)->devices();
  device::Device* const fresh = others.back();
  others.pop_back();
  return (*session)->run([&] { return replace(others, number, fresh, force, &progress); });
}

}  // namespace cowfs::admin
