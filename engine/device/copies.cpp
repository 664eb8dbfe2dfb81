#include "engine/device/copies.h"

#include "engine/base/points.h"

namespace cowfs::device {

namespace {

runtime::Task<void> overwrite(Device& device, u64 offset_bytes, ByteSpan good, std::vector<u8> copies) {
  reached(Point::copy_replaced);
  for (const u8 copy : copies)
    if (device.may_heal()) (void)co_await device.write(offset_bytes, good, false, copy);
}

}  // namespace

runtime::Task<Status> read_other_copies(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify, Error wrong) {
  std::vector<u8> bad;
  for (u8 copy = 1; copy <= device.copies() && device.copies() > 1; ++copy) {
    const Status read = co_await device.read(offset_bytes, into, copy);
    if (!read || !verify(into)) {
      bad.push_back(copy);
      continue;
    }
    // Those behind it may be what was found wrong.
    for (u8 other = static_cast<u8>(copy + 1); other <= device.copies(); ++other) bad.push_back(other);
    co_await overwrite(device, offset_bytes, into, std::move(bad));
    co_return Status{};
  }
  co_return wrong;
}

runtime::Task<Result<bool>> settle_copies(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify) {
  std::vector<u8> bad;
  u8 good = 0;
  for (u8 copy = 1; copy <= device.copies(); ++copy) {
    const Status read = co_await device.read(offset_bytes, into, copy);
    if (!read && device.copies() == 1) co_return read.error();
    if (read && verify(into)) {
      good = copy;
    } else {
      bad.push_back(copy);
    }
  }
  if (good == 0) co_return false;
  if (bad.empty()) co_return true;
  const Status read = co_await device.read(offset_bytes, into, good);
  if (!read) co_return read.error();
  co_await overwrite(device, offset_bytes, into, std::move(bad));
  co_return true;
}

runtime::Task<Status> read_verified(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify) {
  Status status = co_await device.read(offset_bytes, into);
  if (status) status = verify(into);
  if (status) co_return status;
  co_return co_await read_other_copies(device, offset_bytes, into, std::move(verify), status.error());
}

}  // namespace cowfs::device
