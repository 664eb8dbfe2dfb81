// Bringing a member up to date. Everything it should hold is copied, whether it is in use or not: the pool does not know.
#include "engine/device/aligned_buffer.h"
#include "engine/pool/pool.h"

namespace cowfs::pool {

using format::MemberState;

u64 Pool::space_offset(u64 chunk, u64 bucket) const {
  const u64 first = chunk / map_.columns * map_.columns * map_.chunk_buckets;
  return (first + bucket * map_.columns + chunk % map_.columns) * bucket_blocks_ * block_bytes;
}

runtime::Task<Status> Pool::refill_chunk(u64 chunk, u8 copy, MutableByteSpan bucket) {
  const u16 member = map_.place(chunk, copy).member;
  for (u64 number = 0; number < map_.chunk_buckets; ++number) {
    const Status read_ok = co_await read(space_offset(chunk, number), bucket);
    if (!read_ok) co_return read_ok;
    const Piece piece{.chunk = chunk, .block = number * bucket_blocks_, .offset = 0, .length = bucket.size()};
    const Status written = co_await members_[member]->write(member_offset(piece, copy), bucket);
    if (!written) co_return written;
  }
  co_return Status{};
}

runtime::Task<Status> Pool::refill(u16 member, std::function<void(u64)> progress) {
  assert(members_[member] != nullptr && !is_current(member));
  device::AlignedBuffer bucket(bucket_blocks_ * block_bytes);
  u64 done = 0;
  for (u64 chunk = 0; chunk < map_.chunks(); ++chunk) {
    for (u8 copy = 0; copy < map_.copies; ++copy) {
      if (map_.place(chunk, copy).member != member) continue;
      const Status filled = co_await refill_chunk(chunk, copy, bucket.span());
      if (!filled) co_return filled;
      if (progress) progress(++done);
    }
  }
  const Status flushed = co_await members_[member]->flush();
  if (!flushed) co_return flushed;
  map_.members[member].state = static_cast<u8>(MemberState::current);
  current_[member].store(true, std::memory_order_relaxed);
  map_.sequence += 1;
  co_return co_await publish();
}

Status Pool::replace(u16 member, device::Device& device, const format::Uuid& uuid) {
  assert(!is_current(member));
  format::PoolMember& entry = map_.members[member];
  const u64 capacity_blocks = device.capacity().value / block_bytes;
  if (format::whole_chunks(capacity_blocks, entry.first_bucket, bucket_blocks_, map_.chunk_buckets) < entry.chunks)
    return Error{Code::device_too_small, device.capacity().value};
  entry.device = uuid;
  entry.capacity_blocks = capacity_blocks;
  entry.state = static_cast<u8>(MemberState::stale);
  members_[member] = &device;
  adopt(member);
  return {};
}

}  // namespace cowfs::pool
