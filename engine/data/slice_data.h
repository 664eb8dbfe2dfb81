// Everything the data path of one slice shares: its write points, its bucket supply, its cleaner, and the core's cache,
// tokens and buffers.
#pragma once
#include "engine/data/extent_edit.h"
#include "engine/data/page_cache.h"
#include "engine/data/space_tokens.h"
#include "engine/data/write_point.h"

namespace cowfs::data {

// One core's.
struct CoreData {
  CoreData(Bytes budget, CacheLimits limits, TokenSource& token_source, std::size_t buffer_count)
      : cache(budget, limits), tokens(token_source), buffers(buffer_count) {}
  PageCache cache;
  SpaceTokens tokens;
  WriteBuffers buffers;
  WriteTurns turns;
  ExtentPlan plan;                 // scratch, between two awaits
  runtime::Gate gate;              // device writes, read-ahead, write-back
  runtime::WaitList written_back;    // woken when blocks became clean, or a load or a direct write ended
  Status write_back_result;          // of the newest write-back: those who wait for one hear why it does not come
  runtime::WaitList flush_wanted;    // where the flusher waits
  FileData* dirty_first = nullptr;   // files with dirty blocks, oldest first
  FileData* dirty_last = nullptr;
  u64 removals = 0;                  // of extents, under way
  runtime::WaitList removed;         // woken when one ended
  u64 direct_blocks = 0;             // of direct writes: tokens are taken, the keys are not in yet
};

// Counts one of a core's removals until the end of the scope. It waits for no tokens, so who lacks tokens may wait for it.
class Removal {
 public:
  explicit Removal(CoreData& core) : core_(core) { ++core_.removals; }
  Removal(const Removal&) = delete;
  Removal& operator=(const Removal&) = delete;
  ~Removal() {
    --core_.removals;
    core_.removed.wake_all();
  }

 private:
  CoreData& core_;
};

class SliceData {
 public:
  SliceData(CoreData& of_core, Slice& of_slice, SpacePressure& pressure, ChecksumKind of_new_data)
      : core(of_core),
        slice(of_slice),
        checksum_kind(of_new_data),
        supply(slice, pressure),
        user(slice, space::Stream::user, Watermark::user, core.buffers, core.turns, supply, core.gate),
        moved(slice, space::Stream::moved, Watermark::copygc, core.buffers, core.turns, supply, core.gate) {}

  CoreData& core;
  Slice& slice;
  const ChecksumKind checksum_kind;  // of data that are written; what is moved keeps its own
  BucketSupply supply;
  WritePoint user;
  WritePoint moved;
};

}  // namespace cowfs::data
