#include "engine/pool/moved_part.h"

#include <algorithm>

namespace cowfs::pool {

namespace {

u64 run_of(const Pool& pool, const format::PoolPart& part, u64 run_bytes) {
  if (!part.is_shard) return run_bytes;
  const u64 stripe_bytes = pool.stripe_blocks() * block_bytes;
  return std::max(run_bytes / stripe_bytes, u64{1}) * stripe_bytes;
}

}  // namespace

MovedPieces::MovedPieces(const Pool& pool, const format::PoolPart& part, u64 run_bytes)
    : pool_(pool),
      part_(part),
      bucket_bytes_(pool.superblock().bucket_blocks * block_bytes),
      buckets_(part.is_shard ? pool.stripes().layout().buckets_per_set() : pool.map().chunk_buckets),
      run_bytes_(run_of(pool, part, run_bytes)) {}

// The last stripe of a bucket may have nothing of a shard.
std::optional<MovedPiece> MovedPieces::next() {
  while (bucket_ < buckets_) {
    const MovedPiece piece = here();
    begin_ += piece.bytes;
    if (begin_ == bucket_bytes_) ++bucket_, begin_ = 0;
    if (piece.length > 0) return piece;
  }
  return std::nullopt;
}

MovedPiece MovedPieces::here() const {
  MovedPiece piece{.part = part_, .bytes = std::min(run_bytes_, bucket_bytes_ - begin_)};
  if (part_.is_shard) {
    const StripeLayout& layout = pool_.stripes().layout();
    piece.offset_bytes = layout.space_offset(part_.group, bucket_) + begin_;
    const StripeRows rows = layout.rows(layout.range(piece.offset_bytes, piece.bytes));
    piece.begin = rows.first_stripe * block_bytes;
    piece.length = layout.length(rows, part_.number) * block_bytes;
  } else {
    piece.offset_bytes = pool_.space_offset(part_.group, bucket_) + begin_;
    piece.begin = bucket_ * bucket_bytes_ + begin_;
    piece.length = piece.bytes;
  }
  return piece;
}

namespace {

runtime::Task<Status> read_copy(Pool& pool, u64 offset_bytes, u16 copy, MutableByteSpan into) {
  const Status whole = co_await pool.read(offset_bytes, into, copy);
  if (whole) co_return whole;
  for (u64 at = 0; at < into.size(); at += block_bytes) {
    const MutableByteSpan block = into.subspan(at, block_bytes);
    Status read = co_await pool.read(offset_bytes + at, block, copy);
    if (!read) read = co_await pool.read(offset_bytes + at, block);
    if (!read) co_return read;
  }
  co_return Status{};
}

}  // namespace

runtime::Task<Status> read_moved(Pool& pool, MovedPiece piece, MutableByteSpan into) {
  if (!piece.part.is_shard) co_return co_await read_copy(pool, piece.offset_bytes, piece.part.number + 1u, into);
  const StripeLayout& layout = pool.stripes().layout();
  const StripeRows rows = layout.rows(layout.range(piece.offset_bytes, piece.bytes));
  const i64 error = co_await pool.stripes().read_shard(rows, piece.part.number, into.data());
  if (error != 0)
    co_return Error{
        Code::device_io_failed, static_cast<u64>(-error), {.device = pool.index(), .offset_bytes = piece.offset_bytes}};
  co_return Status{};
}

}  // namespace cowfs::pool
