#include "engine/device/overlay_device.h"

#include <algorithm>

namespace cowfs::device {

namespace {
constexpr u64 blocks_at_once_max = 256;
}

// A read of the device below, over which the changed blocks are laid when it has been answered.
struct OverlayDevice::PatchedRead : IoOperation {
  OverlayDevice* overlay = nullptr;
  IoOperation* asked = nullptr;
};

void OverlayDevice::start(IoOperation& operation) {
  counters_.count(operation);
  const u64 first = operation.offset / block_bytes;
  const u64 end = first + operation.length / block_bytes;
  operation.result = static_cast<i64>(operation.length);
  switch (operation.kind) {
    case IoOperation::Kind::flush:
    case IoOperation::Kind::discard:
      return operation.completed(operation);
    case IoOperation::Kind::write:
      for (u64 block = first; block < end; ++block) {
        std::unique_ptr<std::byte[]>& place = blocks_[block];
        if (place == nullptr) place = std::make_unique<std::byte[]>(block_bytes);
        std::memcpy(place.get(), operation.data + (block - first) * block_bytes, block_bytes);
      }
      return operation.completed(operation);
    case IoOperation::Kind::read:
      break;
  }
  const u64 changed = changed_in(first, end);
  if (changed == 0) return below_.start(operation);
  if (changed == end - first) {
    patch(first, {operation.data, operation.length});
    return operation.completed(operation);
  }
  auto* read = new PatchedRead;
  static_cast<IoOperation&>(*read) = operation;
  read->overlay = this;
  read->asked = &operation;
  read->completed = [](IoOperation& done) {
    const std::unique_ptr<PatchedRead> answered(static_cast<PatchedRead*>(&done));
    IoOperation& asked = *answered->asked;
    asked.result = answered->result;
    if (asked.result > 0) answered->overlay->patch(asked.offset / block_bytes, {asked.data, asked.length});
    asked.completed(asked);
  };
  below_.start(*read);
}

u64 OverlayDevice::changed_in(u64 first_block, u64 end_block) const {
  return static_cast<u64>(std::distance(blocks_.lower_bound(first_block), blocks_.lower_bound(end_block)));
}

void OverlayDevice::patch(u64 first_block, MutableByteSpan data) const {
  const u64 end = first_block + data.size() / block_bytes;
  for (auto at = blocks_.lower_bound(first_block); at != blocks_.end() && at->first < end; ++at)
    std::memcpy(data.data() + (at->first - first_block) * block_bytes, at->second.get(), block_bytes);
}

runtime::Task<Status> OverlayDevice::write_out(u64 first_block, u64 end_block) {
  AlignedBuffer buffer(blocks_at_once_max * block_bytes);
  auto at = blocks_.lower_bound(first_block);
  while (at != blocks_.end() && at->first < end_block) {
    const u64 first = at->first;
    u64 count = 0;
    for (; at != blocks_.end() && at->first == first + count && at->first < end_block && count < blocks_at_once_max; ++at)
      std::memcpy(buffer.data() + count++ * block_bytes, at->second.get(), block_bytes);
    IoAwaiter write = below_.write(first * block_bytes, buffer.span().first(count * block_bytes));
    const Status written = co_await write;
    if (!written) co_return written;
  }
  co_return Status{};
}

}  // namespace cowfs::device
