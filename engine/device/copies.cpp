#include "engine/device/copies.h"

#include <cerrno>
#include <optional>

#include "engine/base/points.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::device {

namespace {

// In stripes: what was written, and if that is wrong, the first reconstruction that is not. What lies on a device that does not
// count is read from the others, and that is no damage.
runtime::Task<Looked> look_in_stripes(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify) {
  Looked looked;
  Status fine = co_await read_copy(device, offset_bytes, into, 1);
  if (fine) fine = verify(into);
  if (fine) looked.good = 1;
  if (!fine) looked.bad.push_back({1, fine.error()});
  for (u16 reading = 2; reading <= device.reconstructions() + 1 && looked.good == 0; ++reading) {
    const Status read = co_await device.read(offset_bytes, into, reading);
    if (read && verify(into)) looked.good = 1;
  }
  co_return std::move(looked);
}

// Blocks that are not what they should be; parity is of what they should be.
runtime::Task<bool> heal_blocks(Device& device, u64 offset_bytes, ByteSpan good) {
  AlignedBuffer block(block_bytes);
  bool all = true;
  for (u64 at = 0; at < good.size(); at += block_bytes) {
    Device* const member = device.copy_place(offset_bytes + at, 1).member;
    if (member == nullptr) continue;
    const Status read = co_await device.read(offset_bytes + at, block.span(), 1);
    if (read && std::memcmp(block.data(), good.data() + at, block_bytes) == 0) continue;
    if (read) member->counters().count_damaged_copy();
    const Status written = co_await device.write(offset_bytes + at, good.subspan(at, block_bytes), false, 1);
    if (written) member->counters().count_repaired_copy();
    all = all && written.ok();
  }
  co_return all;
}

// What is wrong lies on a member, at a place of its own.
Error on_member(Device& device, Error error) {
  if (error.place.offset_bytes == Place{}.offset_bytes) return error;
  const Device::CopyPlace place = device.copy_place(error.place.offset_bytes, 1);
  if (place.member == nullptr) return error;
  error.place.device = place.member->index();
  error.place.offset_bytes = place.offset_bytes;
  return error;
}

}  // namespace

runtime::Task<Status> read_copy(Device& device, u64 offset_bytes, MutableByteSpan into, u8 copy) {
  const Status read = co_await device.read(offset_bytes, into, copy);
  const bool is_absent = !read && read.error().value == ENODEV;
  if (!is_absent || !device.is_striped(offset_bytes)) co_return read;
  co_return co_await device.read(offset_bytes, into);
}

void count_damaged_copies(Device& device, u64 offset_bytes, const std::vector<BadCopy>& copies) {
  if (device.is_striped(offset_bytes)) return;  // known only when it is healed
  for (const BadCopy& bad : copies) {
    Device* const member = device.copy_place(offset_bytes, bad.copy).member;
    if (member != nullptr && error_class(bad.error.code) == ErrorClass::corrupt) member->counters().count_damaged_copy();
  }
}

runtime::Task<bool> overwrite_copies(Device& device, u64 offset_bytes, ByteSpan good, std::vector<BadCopy> copies) {
  if (copies.empty()) co_return true;
  if (!device.may_heal()) co_return false;
  reached(Point::copy_replaced);
  if (device.is_striped(offset_bytes)) co_return co_await heal_blocks(device, offset_bytes, good);
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
  if (device.is_striped(offset_bytes)) co_return co_await look_in_stripes(device, offset_bytes, into, std::move(verify));
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
    co_return on_member(device, wrong);
  }
  Looked looked = co_await look_through(device, offset_bytes, into, std::move(verify));
  count_damaged_copies(device, offset_bytes, looked.bad);
  if (looked.good == 0) co_return on_member(device, wrong);
  (void)co_await overwrite_copies(device, offset_bytes, into, std::move(looked.bad));
  co_return Status{};
}

runtime::Task<Status> read_blocks_of_other_copies(Device& device, u64 offset_bytes, MutableByteSpan into, VerifyBlock verify,
                                                  Error wrong) {
  if (device.copies() == 1) co_return co_await read_other_copies(device, offset_bytes, into, {}, wrong);
  Status all;
  for (u64 index = 0; index < into.size() / block_bytes; ++index) {
    const auto verify_one = [&verify, index](ByteSpan block) { return verify(index, block); };
    const Status one = co_await read_verified(device, offset_bytes + index * block_bytes,
                                              into.subspan(index * block_bytes, block_bytes), verify_one);
    if (!one && all) all = one;
  }
  co_return all;
}

runtime::Task<Result<bool>> settle_copies(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify) {
  Looked looked = co_await look_through(device, offset_bytes, into, std::move(verify));
  const bool is_unread = looked.good == 0 && device.copies_at(offset_bytes) == 1 &&
                         error_class(looked.bad.front().error.code) == ErrorClass::io;
  if (is_unread) co_return looked.bad.front().error;
  if (looked.good == 0) co_return false;
  if (device.is_striped(offset_bytes)) {
    if (!looked.bad.empty() && device.may_heal()) (void)co_await device.write(offset_bytes, into, false, 1);
    co_return true;
  }
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
