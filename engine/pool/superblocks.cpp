#include "engine/pool/superblocks.h"

#include <fmt/format.h>

#include <array>

#include "engine/device/aligned_buffer.h"

namespace cowfs::pool {

using format::Superblock;

namespace {

std::array<u64, 3> copy_blocks(u64 capacity_bytes) {
  return {format::superblock_first_copy, format::superblock_second_copy, capacity_bytes / block_bytes - 1};
}

}  // namespace

Task<Result<SuperblockFound>> read_superblock(device::Device& device) {
  const u64 capacity = device.capacity().value;
  if (capacity < format::device_bytes_min.value) {
    // A cut-off image still shows what it was; anything else is simply too small.
    if (capacity < (format::superblock_first_copy + 1) * block_bytes) co_return Error{Code::device_too_small, capacity};
  }
  SuperblockFound found;
  bool any = false;
  Error problem{Code::superblock_magic_mismatch, 0};
  device::AlignedBuffer raw(block_bytes);
  const std::array<u64, 3> places = copy_blocks(capacity);
  for (std::size_t i = 0; i < places.size(); ++i) {
    if ((places[i] + 1) * block_bytes > capacity) continue;
    const Status read = co_await device.read(places[i] * block_bytes, raw.span());
    Status valid = read;
    Superblock copy;
    if (read) {
      std::memcpy(&copy, raw.data(), sizeof copy);
      valid = format::validate(copy);
    }
    if (!valid) {
      found.notes.push_back(fmt::format("superblock copy {} (block {}): {}", i + 1, places[i], to_text(valid.error())));
      if (valid.error().code != Code::superblock_magic_mismatch) problem = valid.error();
      continue;
    }
    if (any && copy.sequence <= found.superblock.sequence) continue;
    found.superblock = copy;
    any = true;
  }
  if (!any) co_return problem;
  const bool is_alone = !format::is_of_pool(found.superblock);
  if (is_alone && found.superblock.capacity_blocks * block_bytes > capacity) co_return Error{Code::device_truncated, capacity};
  co_return found;
}

Task<std::vector<device::BadPlace>> bad_superblocks(device::Device& device, const Superblock& superblock) {
  std::vector<device::BadPlace> bad;
  device::AlignedBuffer raw(block_bytes);
  for (const u64 block : copy_blocks(device.capacity().value)) {
    Status valid = co_await device.read(block * block_bytes, raw.span());
    Superblock copy;
    std::memcpy(&copy, raw.data(), sizeof copy);
    if (valid) valid = format::validate(copy);
    if (valid && copy.sequence != superblock.sequence) valid = Error{Code::superblock_copy_outdated, copy.sequence};
    if (!valid) bad.push_back({device.index(), block * block_bytes, valid.error()});
  }
  co_return bad;
}

Task<Status> write_superblocks(device::Device& device, const Superblock& superblock) {
  return write_superblocks(device, superblock, superblock.capacity_blocks);
}

Task<Status> write_superblocks(device::Device& device, Superblock superblock, u64 capacity_blocks) {
  format::seal(superblock);
  device::AlignedBuffer raw(block_bytes);
  std::memcpy(raw.data(), &superblock, sizeof superblock);
  const std::array<u64, 3> places = copy_blocks(device.capacity().value);
  if (capacity_blocks <= places[2] && capacity_blocks > places[1] + 1) {
    const Status written = co_await device.write((capacity_blocks - 1) * block_bytes, raw.span(), true);
    if (!written) co_return written;
  }
  for (std::size_t i = places.size(); i-- > 1;) {
    const Status written = co_await device.write(places[i] * block_bytes, raw.span());
    if (!written) co_return written;
  }
  Status flushed = co_await device.flush();
  if (!flushed) co_return flushed;
  co_return co_await device.write(places[0] * block_bytes, raw.span(), true);
}

Task<Status> forget_superblocks(device::Device& device) {
  device::AlignedBuffer zeros(block_bytes);
  for (const u64 block : copy_blocks(device.capacity().value)) {
    const Status written = co_await device.write(block * block_bytes, zeros.span());
    if (!written) co_return written;
  }
  co_return co_await device.flush();
}

}  // namespace cowfs::pool
