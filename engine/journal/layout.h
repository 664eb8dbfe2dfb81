// Where the journal lies on its device, and the ring of commit blocks.
#pragma once
#include <vector>

#include "engine/device/aligned_buffer.h"
#include "engine/device/device.h"
#include "engine/format/journal.h"
#include "engine/format/superblock.h"
#include "engine/runtime/task.h"

namespace cowfs::journal {

using runtime::Task;

struct JournalLayout {
  u64 filesystem = 0;
  u16 device_index = 0;
  u64 bucket_blocks = 0;
  u64 first_bucket = 0;
  u64 buckets = 0;
  u64 commit_ring_block = 0;
  u8 checksum_kind = 0;  // of what is written

  static JournalLayout of(const format::Superblock& superblock);
  u64 bucket_bytes() const { return bucket_blocks * block_bytes; }
  // `bucket` counts from 0 within the journal.
  u64 bucket_block(u64 bucket) const { return (first_bucket + bucket) * bucket_blocks; }
  format::Address address(u64 bucket, u64 block) const {
    return format::Address::of(device_index, bucket_block(bucket) + block);
  }
  // True when `pointer` names a range of whole blocks inside one journal bucket.
  bool contains(const format::EntryPointer& pointer) const;
  u64 bucket_of(format::Address address) const { return address.block() / bucket_blocks - first_bucket; }
};

// A commit block, decoded.
struct Commit {
  Epoch epoch;
  Epoch oldest_needed;
  u32 session = 0;
  Epoch previous;  // 0: everything was flushed before the block was written; otherwise see verify.h
  std::vector<format::EntryPointer> tails;
};

// format::commit_slots places, used in turn: the newest valid one says what history is.
class CommitRing {
 public:
  CommitRing(device::Device& device, const JournalLayout& layout) : device_(device), layout_(layout) {}

  // Every valid commit block, newest first; of copies that differ, the newest. Empty places, damaged older blocks and torn ones are skipped. Errors: of the
  // device; journal_commit_damaged: a block was newer than every valid one, and cannot have been torn.
  Task<Result<std::vector<Commit>>> read_all();
  // The same, whatever is damaged or cannot be read beside them.
  Task<std::vector<Commit>> read_valid();
  // Writes `commit` to its place; `durable`: on the medium when it answers. Errors: of the device.
  // Precondition: commit.tails.size() <= format::commit_streams_max.
  Task<Status> write(const Commit& commit, bool durable);

 private:
  // `places`: the error of each that no copy of could be read.
  Task<std::vector<device::AlignedBuffer>> read_copies(std::vector<Status>& places);

  device::Device& device_;
  JournalLayout layout_;
};

}  // namespace cowfs::journal
