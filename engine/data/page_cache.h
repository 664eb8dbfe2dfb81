// The page cache of one core: folios (up to 16 blocks of one file's 64 KiB window), a byte budget, and a clock that takes
// clean ones when memory is wanted. Dirty folios stay until their file wrote them back.
#pragma once
#include "engine/data/page_arena.h"
#include "engine/runtime/sync.h"

namespace cowfs::data {

class FileData;

// Bit i of a mask is block i of the window.
using BlockMask = u16;
constexpr BlockMask mask_of(u32 first, u32 count) { return static_cast<BlockMask>(((1u << count) - 1) << first); }

struct Folio {
  FileData* file = nullptr;
  u64 window = 0;              // of the file: block / window_blocks
  std::byte* memory = nullptr;  // of block 0 of the window
  u8 order = 0;                // memory holds 2^order blocks
  bool referenced = true;      // since the clock came by
  BlockMask valid = 0;         // memory holds the file's newest content
  BlockMask dirty = 0;         // newer than the medium; a space token is taken for each
  BlockMask loading = 0;       // a read from the medium is under way into memory
  BlockMask overtaken = 0;     // of those: a direct write went by, what is read may be old
  BlockMask writing = 0;       // copied for write-back; the medium does not name the copy yet
  Folio* previous = nullptr;
  Folio* next = nullptr;
  u32 blocks() const { return 1u << order; }
};

struct CacheLimits {
  // Of the budget. The memory is the cache's own, so it may be mostly dirty: kernels stop at a fifth because theirs is
  // everybody's. What is dirty for 30 s is written back in any case.
  u64 dirty_background_percent = 60;  // write-back begins
  u64 dirty_percent = 80;             // writers wait for it
};

enum class Budget : u8 {
  kept,
  passed,  // when nothing can be evicted: for who holds what write-back needs, so that waiting for it would be for ever
};

class PageCache {
 public:
  PageCache(Bytes budget, CacheLimits limits);
  ~PageCache();

  // A folio with memory for at least `blocks` blocks, or null when nothing can be evicted. Evicts others, never calls
  // back into `file`'s own lookups with a folio that is in use: only clean, unreferenced, idle ones go.
  Folio* create(FileData& file, u64 window, u32 blocks, Budget budget);
  // False: no memory. Precondition: nothing is loading into it.
  bool grow(Folio& folio, u32 blocks, Budget budget);
  void destroy(Folio& folio);
  // All folios that may go.
  void evict_all();
  // Evicts what lies beyond the budget and may go. False: more than 64 folios are left there until they were
  // written back.
  bool keep_budget();

  void count_dirty(i64 blocks) { dirty_blocks_ += blocks; }
  // Folios with loads or write-back under way, which will be evictable by and by.
  void count_busy(i64 folios) { busy_folios_ += folios; }
  i64 busy_folios() const { return busy_folios_; }
  i64 dirty_blocks() const { return dirty_blocks_; }
  bool wants_write_back() const { return dirty_blocks_ > dirty_background_; }
  bool must_write_back() const { return dirty_blocks_ > dirty_max_; }

  // What is written to it goes to memory that no processor cache holds, as a rule.
  bool outgrew_processor_caches() const { return used().value > processor_cache_bytes_; }

  bool populate_some() { return arena_.populate_some(); }
  Bytes used() const { return arena_.used(); }
  Bytes budget() const { return arena_.budget(); }
  u64 evictions() const { return evictions_; }

 private:
  std::byte* allocate(u32 order, Budget budget);
  static bool may_go(const Folio& folio) { return (folio.dirty | folio.loading | folio.writing) == 0; }
  void evict(Folio& folio);
  void release(Folio& folio);
  bool evict_one();
  void link(Folio& folio);
  void unlink(Folio& folio);

  static constexpr u64 processor_cache_bytes_ = 32 * mib;  // more than a core's part of them on today's hosts

  static constexpr u64 beyond_folios_max_ = 64;

  PageArena arena_;
  u64 beyond_folios_ = 0;
  i64 dirty_blocks_ = 0;
  i64 busy_folios_ = 0;
  i64 dirty_background_;
  i64 dirty_max_;
  Folio* hand_ = nullptr;  // of the clock, in the ring of all folios
  u64 folio_count_ = 0;
  u64 evictions_ = 0;
  Folio* free_folios_ = nullptr;
};

}  // namespace cowfs::data
