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

runtime::Task<Status> Pool::refill_shard(u64 set, u32 shard, MutableByteSpan bucket) {
  const StripeLayout& layout = stripes_->layout();
  const u16 member = layout.member(set, shard);
  for (u64 number = 0; number < layout.buckets_per_set(); ++number) {
    const StripeRows rows = layout.rows_of_bucket(set, number);
    const i64 made = co_await stripes_->make_shard(set, number, shard, bucket.data());
    if (made != 0) co_return Error{Code::device_io_failed, static_cast<u64>(-made), {.device = index()}};
    const ByteSpan content = bucket.first(layout.length(rows, shard) * block_bytes);
    const Status written =
        co_await members_[member]->write(layout.member_offset(set, shard, rows.first_stripe), content);
    if (!written) co_return written;
  }
  co_return Status{};
}

runtime::Task<Status> Pool::refill(u16 member, std::function<void(u64)> progress) {
  assert(this->member(member) != nullptr && !is_current(member));
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
  for (u64 set = 0; set < map_.stripe_sets(); ++set) {
    for (u32 shard = 0; shard < map_.shards(); ++shard) {
      if (map_.shard_place(set, shard).member != member) continue;
      const Status filled = co_await refill_shard(set, shard, bucket.span());
      if (!filled) co_return filled;
      if (progress) progress(++done);
    }
  }
  const Status flushed = co_await members_[member]->flush();
  if (!flushed) co_return flushed;
  map_.members[member].state = static_cast<u8>(MemberState::current);
  current_[member].store(true, std::memory_order_relaxed);
  map_.sequence += 1;
  map_.members[member].current_since = map_.sequence;
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
  adopt(member, &device);
  return {};
}

}  // namespace cowfs::pool
