// Which blocks of a clone's files must hold which of its writes: those that no later write went over. As in fio, a block
// that was overwritten in part is not verified.
#pragma once
#include <map>
#include <optional>
#include <span>

#include "workloads/fio_job.h"
#include "workloads/verify_block.h"

namespace cowbench::workloads {

// Memory grows with the number of blocks. Ordered by file and offset.
class WrittenBlocks {
 public:
  void add(const WrittenBlock& block);
  // Whatever overlaps the range is forgotten; how many blocks that were.
  u64 forget(u32 file, u64 offset, u64 bytes);
  // The first one, no longer held here.
  std::optional<WrittenBlock> take_first();
  std::size_t size() const { return blocks_.size(); }

 private:
  struct Key {
    u32 file;
    u64 offset;
    auto operator<=>(const Key&) const = default;
  };
  struct Rest {
    u64 bytes;
    u64 number;
  };
  std::map<Key, Rest> blocks_;
};

// The blocks of a clone in the round of that seed. Rounds differ even when the job's offsets are the same in each: what an
// earlier one left on the device must not pass for this one's.
VerifyContent verify_content(const FioJob& job, u32 clone, u64 round_seed);

struct ReplayedWrites {
  WrittenBlocks blocks;
  u64 doubtful = 0;  // blocks that hold one of several writes, of which the later ones may be lost
};
// What the first `begun` writes of a clone left: of each file, those up to the number in `durable` are there; the later ones
// may be. `durable` has a number for each file of the job. The time is that of drawing the operations again.
ReplayedWrites replay_writes(const FioJob& job, u32 clone, u64 round_seed, u64 begun, std::span<const u64> durable);

}  // namespace cowbench::workloads
