#include "engine/device/copies.h"

#include <optional>

#include "engine/base/points.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::device {

void count_damaged_copies(Device& device, u64 offset_bytes, const std::vector<BadCopy>& copies) {
  for (const BadCopy& bad : copies) {
    Device* const member = device.copy_place(offset_bytes, bad.copy).member;
    if (member != nullptr && error_class(bad.error.code) == ErrorClass::corrupt) member->counters().count_damaged_copy();
  }
}

runtime::Task<bool> overwrite_copies(Device& device, u64 offset_bytes, ByteSpan good, std::vector<BadCopy> copies) {
  if (copies.empty()) co_return true;
  if (!device.may_heal()) co_return false;
  reached(Point::copy_replaced);
  bool all = true;
  for (const BadCopy& bad : copies) {
    Device* const member = device.copy_place(offset_bytes, bad.copy).member;
    if (member == nullptr) continue;
    const Status written = co_await device.write(offset_bytes, good, false, bad.copy);
    if (written) member->counters().count_repaired_copy();
    all = all && written.ok();
  }
  co_return all;
}

runtime::Task<Looked> look_through(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify) {
  Looked looked;
  std::optional<AlignedBuffer> others;
  for (u8 copy = 1; copy <= device.copies(); ++copy) {
    if (device.copy_place(offset_bytes, copy).member == nullptr) continue;
    if (looked.good != 0 && !others) others.emplace(into.size());
    const MutableByteSpan bytes = others ? others->span() : into;
    Status fine = co_await device.read(offset_bytes, bytes, copy);
    if (fine) fine = verify(bytes);
    if (!fine) {
      looked.bad.push_back({copy, fine.error()});
    } else if (looked.good == 0) {
      looked.good = copy;
    }
  }
  co_return std::move(looked);
}

runtime::Task<Status> read_other_copies(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify, Error wrong) {
  if (device.copies() == 1) {
    count_damaged_copies(device, offset_bytes, {{1, wrong}});
    co_return wrong;
  }
  Looked looked = co_await look_through(device, offset_bytes, into, std::move(verify));
  count_damaged_copies(device, offset_bytes, looked.bad);
  if (looked.good == 0) co_return wrong;
  (void)co_await overwrite_copies(device, offset_bytes, into, std::move(looked.bad));
  co_return Status{};
}

runtime::Task<Result<bool>> settle_copies(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify) {
  Looked looked = co_await look_through(device, offset_bytes, into, std::move(verify));
  const bool is_unread = looked.good == 0 && device.copies() == 1 &&
                         error_class(looked.bad.front().error.code) == ErrorClass::io;
  if (is_unread) co_return looked.bad.front().error;
  if (looked.good == 0) co_return false;
  (void)co_await overwrite_copies(device, offset_bytes, into, std::move(looked.bad));
  co_return true;
}

runtime::Task<Status> read_verified(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify) {
  Status status = co_await device.read(offset_bytes, into);
  if (status) status = verify(into);
  if (status) co_return status;
  co_return co_await read_other_copies(device, offset_bytes, into, std::move(verify), status.error());
}

}  // namespace cowfs::device
