// Copying garbage collection of one slice: live extents of a sparse bucket are moved to the write point for moved data, and
// the bucket is free once that is durable. Live extents are found by backpointers; a move that lost a race against a write
// or a truncation is simply not applied.
#pragma once
#include "engine/data/bucket_reads.h"
#include "engine/data/slice_data.h"

namespace cowfs::data {

struct CopyGcCounters {
  u64 buckets = 0;
  u64 moved_blocks = 0;
  u64 lost_races = 0;
};

class CopyGc final : public Cleaner {
 public:
  explicit CopyGc(SliceData& home) : home_(home) { home.supply.set_cleaner(*this); }

  // Several at once evacuate as many buckets, while there are empty ones for all that each may move.
  // Errors: of the device or journal; extent_checksum_mismatch: the damaged extent stays where it is.
  Task<Result<bool>> clean_one(Need need) override;
  // One beyond the end of the space, whatever that gains. False: there is none that can be. Errors: the same, and corrupt ones of
  // what stays where it is.
  Task<Result<bool>> clean_beyond();

  const CopyGcCounters& counters() const { return counters_; }

  struct Move {
    format::Key key;              // of the extent
    format::Address from;
    u32 blocks = 0;
    u32 generation = 0;           // of `from`
    format::BlockChecksums checksums;
    Placement to;
  };
  // What backpointers say of a bucket, in the order of its blocks. Errors: of load.
  Task<Status> find_moves(format::BucketId bucket, std::vector<Move>& moves);
  // True when the extents tree still names exactly this piece of the bucket; fills in what a copy needs to know. Errors: of load.
  Task<Result<bool>> still_there(Move& move);

 private:
  bool may_begin() const;
  Task<Status> evacuate(format::BucketId victim);
  Task<Status> move_all(format::BucketId victim);
  void go_ahead(std::span<const Move> moves) const;
  Task<Status> copy(std::span<Move> moves, u64& moved_blocks);
  Task<Status> copy_some(std::span<Move> moves, std::vector<Move>& copied);
  Task<Status> copy_one(const Move& move, BucketReads& reads, std::vector<Move>& copied);
  Task<Status> verified(const Move& move, BucketReads::Answer read);
  Task<Status> apply(std::vector<Move>& copied, u64& moved_blocks);

  SliceData& home_;
  std::size_t running_ = 0;
  runtime::WaitList ended_;
  CopyGcCounters counters_;
};

}  // namespace cowfs::data
