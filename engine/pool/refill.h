// Bringing a member up to date, from the others, while the pool is used. Everything that it should hold is copied, piece by piece
// through the space, whether it is in use or not: the pool does not know. What is written meanwhile goes to the member, too, and
// stays off the piece that is being copied. So when the last piece is there, and flushed, it has everything.
#pragma once
#include <functional>
#include <optional>

#include "engine/base/result.h"
#include "engine/device/background_reader.h"
#include "engine/runtime/task.h"

namespace cowfs::pool {

class Pool;

// Called now and then, on the core that refills. False: stop.
using RefillProgress = std::function<bool(u64 chunks_done, u64 chunks_total)>;

class Refill {
 public:
  // On one core. `pool` and `reader` outlive it. Precondition: what is written to the pool goes to the member.
  Refill(Pool& pool, u16 member, device::BackgroundReader& reader, RefillProgress progress);

  // Errors: pool_refill_stopped; pool_refill_failed; of the devices that are read.
  runtime::Task<Status> run();

 private:
  struct Piece {
    u64 offset_bytes = 0;  // of the space
    u64 bytes = 0;
    u8 part = 0;  // see Pool::part_on
  };

  std::optional<Piece> next();
  u64 piece_bytes(u64 offset_bytes) const;
  runtime::Task<void> work();
  runtime::Task<Status> copy(Piece piece, MutableByteSpan buffer);
  runtime::Task<Status> copy_block_range(Piece piece, MutableByteSpan buffer);
  runtime::Task<Status> copy_shard(Piece piece, MutableByteSpan buffer);
  bool tell();

  Pool& pool_;
  const u16 member_;
  device::BackgroundReader& reader_;
  const RefillProgress progress_;
  const u64 bucket_bytes_;
  u64 next_ = 0;         // in the space
  u64 buckets_done_ = 0;  // begun
  bool stopped_ = false;
  Status failure_;
};

}  // namespace cowfs::pool
