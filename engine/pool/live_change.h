// Changes of a pool's members, and of which chunk lies where, while the pool is used. Chunks move a few at a time: from a moment on
// everything that is written to them is written to their new places, too; then they are copied there, piece by piece, while writers are
// kept off the piece; then all members remember the new places. Whatever is cut off, one of the two places counts and has everything.
#pragma once
#include "engine/pool/change.h"
#include "engine/pool/moved_part.h"
#include "engine/pool/refill.h"

namespace cowfs::pool {

class LiveChange {
 public:
  // On the core that flushes, one at a time. `pool` and `reader` outlive it. `progress` tells of chunks.
  LiveChange(Pool& pool, device::BackgroundReader& reader, RefillProgress progress)
      : pool_(pool), reader_(reader), progress_(std::move(progress)) {}

  // What was planned for the pool as it is. `added`: the device of the map's last member, when that is new. What was done until an
  // error stays so. Errors: pool_move_stopped; pool_move_failed; of the devices.
  runtime::Task<Status> carry_out(Change change, device::Device* added);

 private:
  struct Copying {
    const Pool::Movings& moving;
    std::size_t begun = 0;  // of them
    std::optional<MovedPieces> pieces = {};
    Status failure = {};
  };

  runtime::Task<Status> move_chunks(const Change& change);
  runtime::Task<Status> move_some(const Pool::Movings& moving);
  runtime::Task<Status> copy(const Pool::Movings& moving);
  runtime::Task<void> copy_pieces(Copying* copying);
  runtime::Task<Status> copy_piece(MovedPiece piece, format::ChunkPlace to, MutableByteSpan data);
  std::optional<MovedPiece> next(Copying& copying) const;

  Pool& pool_;
  device::BackgroundReader& reader_;
  const RefillProgress progress_;
};

}  // namespace cowfs::pool
