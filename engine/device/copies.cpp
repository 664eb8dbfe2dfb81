#include "engine/device/copies.h"

#include <optional>

#include "engine/base/points.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::device {

void count_damaged_copies(Device& device, u64 offset_bytes, const std::vector<u8>& copies) {
  for (const u8 copy : copies)
    if (Device* const member = device.copy_place(offset_bytes, copy).member) member->counters().count_damaged_copy();
}

runtime::Task<bool> overwrite_copies(Device& device, u64 offset_bytes, ByteSpan good, std::vector<u8> copies) {
  if (copies.empty()) co_return true;
  if (!device.may_heal()) co_return false;
  reached(Point::copy_replaced);
  bool all = true;
  for (const u8 copy : copies) {
    Device* const member = device.copy_place(offset_bytes, copy).member;
    if (member == nullptr) continue;
    const Status written = co_await device.write(offset_bytes, good, false, copy);
    if (written) member->counters().count_repaired_copy();
    all = all && written.ok();
  }
  co_return all;
}

namespace {

struct Looked {
  u8 good = 0;  // a copy that is; `into` holds it. 0: none is
  std::vector<u8> bad;
  Status unread;  // of one that could not be read
};

runtime::Task<Looked> look_through(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify) {
  Looked looked;
  std::optional<AlignedBuffer> others;
  for (u8 copy = 1; copy <= device.copies(); ++copy) {
    if (looked.good != 0 && !others) others.emplace(into.size());
    const MutableByteSpan bytes = others ? others->span() : into;
    const Status read = co_await device.read(offset_bytes, bytes, copy);
    if (!read) looked.unread = read;
    if (!read || !verify(bytes)) {
      looked.bad.push_back(copy);
    } else if (looked.good == 0) {
      looked.good = copy;
    }
  }
  co_return std::move(looked);
}

}  // namespace

runtime::Task<Status> read_other_copies(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify, Error wrong) {
  if (device.copies() == 1) {
    if (error_class(wrong.code) == ErrorClass::corrupt) count_damaged_copies(device, offset_bytes, {1});
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
  if (looked.good == 0 && !looked.unread && device.copies() == 1) co_return looked.unread.error();
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
