#include "engine/pool/refill.h"

#include <algorithm>

#include "engine/base/points.h"
#include "engine/pool/pool.h"
#include "engine/runtime/sync.h"

namespace cowfs::pool {

namespace {

constexpr int pieces_at_once = 4;  // reading one while the others are written

}  // namespace

Refill::Refill(Pool& pool, u16 member, device::BackgroundReader& reader, RefillProgress progress)
    : pool_(pool),
      member_(member),
      reader_(reader),
      progress_(std::move(progress)),
      bucket_bytes_(pool.superblock().bucket_blocks * block_bytes) {}

runtime::Task<Status> Refill::run() {
  runtime::Gate gate;
  for (int worker = 0; worker < pieces_at_once; ++worker) gate.spawn(work());
  co_await gate.drained();
  if (failure_ && stopped_) co_return Error{Code::pool_refill_stopped, member_};
  co_return failure_;
}

runtime::Task<void> Refill::work() {
  device::AlignedBuffer buffer = reader_.take_buffer();
  while (failure_ && tell()) {
    const std::optional<Piece> piece = next();
    if (!piece) break;
    co_await reader_.before(piece->bytes);
    co_await pool_.locks().hold(piece->offset_bytes, piece->bytes);
    const Status copied = co_await copy(*piece, buffer.span());
    pool_.locks().release(piece->offset_bytes, piece->bytes);
    if (!copied) failure_ = copied;
  }
  reader_.give_back(std::move(buffer));
}

// In a bucket's stripes, whole ones.
u64 Refill::piece_bytes(u64 offset_bytes) const {
  const u64 run = reader_.run_bytes();
  if (!pool_.is_striped(offset_bytes)) return run;
  const u64 stripe = pool_.stripe_blocks() * block_bytes;
  return std::max(run / stripe, u64{1}) * stripe;
}

std::optional<Refill::Piece> Refill::next() {
  while (next_ < pool_.capacity().value) {
    const u64 bucket_end = (next_ / bucket_bytes_ + 1) * bucket_bytes_;
    const u8 part = pool_.part_on(next_, member_);
    if (part == 0) {
      next_ = bucket_end;
      continue;
    }
    if (next_ % bucket_bytes_ == 0) ++buckets_done_;
    const Piece piece{next_, std::min(piece_bytes(next_), bucket_end - next_), part};
    next_ += piece.bytes;
    return piece;
  }
  return std::nullopt;
}

runtime::Task<Status> Refill::copy(Piece piece, MutableByteSpan buffer) {
  const Status copied = pool_.is_striped(piece.offset_bytes) ? co_await copy_shard(piece, buffer)
                                                             : co_await copy_block_range(piece, buffer);
  // A client's write may have found out first that the member fails.
  if (copied && !pool_.is_written(member_)) co_return Error{Code::pool_refill_failed, member_};
  co_return copied;
}

runtime::Task<Status> Refill::copy_block_range(Piece piece, MutableByteSpan buffer) {
  const MutableByteSpan data = buffer.first(piece.bytes);
  const Status read = co_await pool_.read(piece.offset_bytes, data);
  if (!read) co_return read;
  const u64 at = pool_.copy_place(piece.offset_bytes, piece.part).offset_bytes;
  co_return co_await pool_.asked(member_).write(at, data);
}

runtime::Task<Status> Refill::copy_shard(Piece piece, MutableByteSpan buffer) {
  const StripeLayout& layout = pool_.stripes().layout();
  const StripeRows rows = layout.rows(layout.range(piece.offset_bytes, piece.bytes));
  const u32 shard = piece.part - 1u;
  const i64 made = co_await pool_.stripes().make_shard(rows, shard, buffer.data());
  if (made != 0)
    co_return Error{Code::device_io_failed, static_cast<u64>(-made), {.device = pool_.index(), .offset_bytes = piece.offset_bytes}};
  const MutableByteSpan content = buffer.first(layout.length(rows, shard) * block_bytes);
  if (content.empty()) co_return Status{};
  co_return co_await pool_.asked(member_).write(layout.member_offset(rows.set, shard, rows.first_stripe), content);
}

bool Refill::tell() {
  if (stopped_ || !progress_) return !stopped_;
  stopped_ = !progress_(buckets_done_ / pool_.map().chunk_buckets, pool_.map().chunks_on(member_));
  return !stopped_;
}

// Of the pool.

u8 Pool::part_on(u64 offset_bytes, u16 member) const {
  if (is_striped(offset_bytes)) {
    const u64 set = stripes_->layout().range(offset_bytes, block_bytes).set;
    for (u32 shard = 0; shard < map_.shards(); ++shard)
      if (map_.shard_place(set, shard).member == member) return static_cast<u8>(shard + 1);
    return 0;
  }
  const u64 bucket = offset_bytes / block_bytes / bucket_blocks_;
  const u64 row_buckets = u64{map_.chunk_buckets} * map_.columns;
  const u64 chunk = bucket / row_buckets * map_.columns + bucket % map_.columns;
  for (u8 copy = 0; copy < map_.copies; ++copy)
    if (map_.place(chunk, copy).member == member) return static_cast<u8>(copy + 1);
  return 0;
}

runtime::Task<Status> Pool::refill(u16 index, device::BackgroundReader& reader, RefillProgress progress) {
  assert(member(index) != nullptr && !is_current(index));
  if (asked(index).is_silent()) co_return Error{Code::pool_device_silent, index};
  if (map_.members[index].state != static_cast<u8>(format::MemberState::stale)) {
    const Status told = co_await renew();  // before anything on it changes
    if (!told) co_return told;
  }
  asked(index).forgive();
  set_standing(index, Standing::filling);
  Refill refill(*this, index, reader, std::move(progress));
  Status done = co_await refill.run();
  if (done) done = co_await asked(index).flush();
  if (done) done = co_await let_count(index);
  if (!done && !is_current(index)) set_standing(index, Standing::away);
  co_return done;
}

// What was written before is flushed, and each flush from now on is one of this member, too.
runtime::Task<Status> Pool::let_count(u16 member) {
  co_await publishing_.acquire();
  const runtime::MutexHold hold(publishing_);
  {
    const std::lock_guard lock(giving_up_);
    if (!is_written(member)) co_return Error{Code::pool_refill_failed, member};
    set_standing(member, Standing::current);
  }
  map_.members[member].state = static_cast<u8>(format::MemberState::current);
  map_.sequence += 1;
  map_.members[member].current_since = map_.sequence;
  reached(Point::pool_member_refilled);
  co_return co_await publish();
}

runtime::Task<Status> Pool::replace(u16 index, device::Device& device, const format::Uuid& uuid) {
  assert(!is_current(index));
  format::PoolMember& entry = map_.members[index];
  const u64 capacity_blocks = device.capacity().value / block_bytes;
  if (format::whole_chunks(capacity_blocks, entry.first_bucket, bucket_blocks_, map_.chunk_buckets) < entry.chunks)
    co_return Error{Code::device_too_small, device.capacity().value};
  entry.device = uuid;
  entry.capacity_blocks = capacity_blocks;
  entry.state = static_cast<u8>(format::MemberState::stale);
  adopt(index, &device);
  co_await publishing_.acquire();
  const runtime::MutexHold hold(publishing_);
  map_.sequence += 1;
  const Status told = co_await publish();
  if (!told) co_return told;
  co_return co_await publish_to(index);
}

}  // namespace cowfs::pool
