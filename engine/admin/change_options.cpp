#include "engine/admin/change_options.h"

#include "engine/admin/device_session.h"

namespace cowfs::admin {

using runtime::Task;

namespace {

Task<Status> change_on(std::vector<device::Device*> devices, OptionChanges changes) {
  Result<pool::Assembled> assembled = co_await pool::assemble(std::move(devices), {});
  if (!assembled) co_return assembled.error();
  co_return co_await change_options(&*assembled, changes);
}

}  // namespace

Task<Status> change_options(pool::Assembled* assembled, OptionChanges changes) {
  format::Superblock superblock = assembled->superblock;
  if (changes.data_checksum) superblock.data_checksum = static_cast<u8>(*changes.data_checksum);
  if (changes.metadata_checksum) superblock.metadata_checksum = static_cast<u8>(*changes.metadata_checksum);
  superblock.sequence = superblock.sequence + 1;
  format::seal(superblock);
  const Status valid = format::validate(superblock);
  if (!valid) co_return valid;
  assembled->superblock = superblock;
  if (assembled->pool) co_return co_await assembled->pool->change_superblock(superblock);
  co_return co_await pool::write_superblocks(*assembled->device, superblock);
}

Status set_options(const DeviceNames& devices, const OptionChanges& changes) {
  const auto session = DeviceSession::open(devices, device::OpenMode::read_write);
  if (!session) return session.error();
  return (*session)->run([opened = (*session)->devices(), changes] { return change_on(opened, changes); });
}

}  // namespace cowfs::admin
