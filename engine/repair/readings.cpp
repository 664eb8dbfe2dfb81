#include <cstring>

#include "engine/device/aligned_buffer.h"
#include "engine/repair/readings_internal.h"

namespace cowfs::repair {

runtime::Task<bool> read_alike(device::Device& device, u64 offset_bytes, MutableByteSpan into) {
  device::AlignedBuffer other(into.size());
  bool any = false;
  for (u16 reading = 1; reading <= readings_of(device, offset_bytes); ++reading) {
    const MutableByteSpan bytes = any ? other.span() : into;
    const Status read = co_await device.read(offset_bytes, bytes, reading);
    if (!read) continue;
    if (any && std::memcmp(into.data(), other.data(), into.size()) != 0) co_return false;
    any = true;
  }
  co_return any;
}

}  // namespace cowfs::repair
