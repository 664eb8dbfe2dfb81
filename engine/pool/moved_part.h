// What moves from one chunk to another, a copy or a shard, piece by piece.
#pragma once
#include <optional>

#include "engine/pool/pool.h"

namespace cowfs::pool {

struct MovedPiece {
  format::PoolPart part;
  u64 offset_bytes = 0, bytes = 0;  // of the pool's space, in one bucket; in stripes whole ones
  u64 begin = 0, length = 0;        // of them, in its chunk, wherever that lies; bytes
};

class MovedPieces {
 public:
  // `run_bytes`: of the space at once, but for stripes that are longer. `pool` outlives it.
  MovedPieces(const Pool& pool, const format::PoolPart& part, u64 run_bytes);

  std::optional<MovedPiece> next();

 private:
  MovedPiece here() const;

  const Pool& pool_;
  const format::PoolPart part_;
  const u64 bucket_bytes_;
  const u64 buckets_;
  const u64 run_bytes_;
  u64 bucket_ = 0;
  u64 begin_ = 0;  // in it
};

// What is to be in the new place: what is in the old one, damaged or not, so that damage of other copies or shards does not spread. What of
// it cannot be read comes from the others. `into`: of the piece's length. Errors: of the devices.
runtime::Task<Status> read_moved(Pool& pool, MovedPiece piece, MutableByteSpan into);

}  // namespace cowfs::pool
