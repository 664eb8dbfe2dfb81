// The part of one file's data that lives in one slice: its cached folios, and the way to its extents. A small file has
// one; a file of many regions has one in each slice that holds a region, and each sees only offsets of its own regions.
//
// On the slice's core. It knows nothing of the file's size: whoever calls clips reads to it. What was never written reads
// as zeros. Buffered writes are accepted only with a space token for each block, so write-back finds room.
#pragma once
#include <absl/container/flat_hash_map.h>

#include <vector>

#include "engine/data/extent_edit.h"
#include "engine/data/shared_lock.h"
#include "engine/data/slice_data.h"

namespace cowfs::data {

// One transaction's change of a file's data.
struct DataChange {
  u64 end_bytes = 0;     // everything that was to be written before it is in place; 0 when blocks are only removed
  bool complete = true;  // the last transaction of its operation
  i64 blocks = 0;        // of data: added less removed
};

// The file's inode follows its data in the same transactions, so that a crash never leaves extents behind the end of the
// file, or a count of blocks that is not theirs. Implemented by the room that knows inodes; only the part of the file in its
// home slice has one.
class AttributeWriter {
 public:
  virtual ~AttributeWriter() = default;
  // False: the inode's record stays as it is.
  virtual bool follows(const DataChange& change) const = 0;
  // The inode's update in the transaction. The value must live until the next call.
  virtual slice::Update update(const DataChange& change) = 0;
  // That update was applied.
  virtual void applied(const DataChange& change) = 0;
  // A write that has to wait has put everything before `end_bytes` into the cache, from where it may be written back.
  virtual void cached(u64 end_bytes) = 0;
};

enum class Then : u8 { nothing, commit };

class FileData {
 public:
  // `empty`: the file is new, so no extent needs to be looked for.
  FileData(SliceData& home, format::InodeNumber inode, bool empty);
  ~FileData();
  FileData(const FileData&) = delete;
  FileData& operator=(const FileData&) = delete;

  // Copies from the cache as far as it can without waiting; returns the bytes done.
  u64 try_read(u64 offset, MutableByteSpan into);
  // Errors: of the device; extent_checksum_mismatch; no memory is cache_exhausted. Nothing wrong is ever returned.
  // A sequential reader finds what follows loaded already, up to `ahead_end` (bytes): the end of the file or region.
  Task<Status> read(u64 offset, MutableByteSpan into, u64 ahead_end);

  u64 try_write(u64 offset, ByteSpan from);
  // Answers how many bytes are written, from the front: fewer than asked for when an error came behind them. Errors, when
  // there are none: space_full, those of read (a partial block is read first).
  Task<Result<u64>> write(u64 offset, ByteSpan from, AttributeWriter* attributes);

  // Writes everything dirty and inserts the extents, one file state in one epoch where it fits into one transaction.
  // `file_bytes`: a file that ends at or before inline_bytes_max is kept in the key. Answers the epoch to commit.
  // Then::commit: the caller commits that epoch next, so its close begins while the data is still being written; a data
  // write that fails then breaks the journal.
  // Errors: of the device, of the journal, space_no_buckets. What failed stays dirty, unless the journal is broken.
  Task<Result<Epoch>> write_back(u64 file_bytes, AttributeWriter* attributes, Then then = Then::nothing);

  // Forgets everything from byte `offset` on: cached blocks and extents; the rest of a partial block becomes zeros.
  // In as many transactions as it takes.
  Task<Status> truncate(u64 offset, AttributeWriter* attributes);
  // Forgets whole blocks [first, end), cached or not.
  Task<Status> punch(u64 first_block, u64 end_block, AttributeWriter* attributes);
  // Drops cached folios without writing them; for a file that nobody can reach any more.
  void discard_cache();

  // Past the cache, coherent with it: whole blocks, block-aligned memory.
  Task<Status> read_direct(u64 offset, MutableByteSpan into);
  // Answers as write() does.
  Task<Result<u64>> write_direct(u64 offset, ByteSpan from, AttributeWriter* attributes);

  // First byte at or after `offset` that holds data (or a hole); ~0 when there is none.
  Task<Result<u64>> seek(u64 offset, bool want_data);

  bool flush_pending = false;  // the flusher's: a background write-back was started and has not begun
  // True when no extent of the file can be in the tree.
  bool has_no_extents() const { return extent_end_block_ == 0; }
  bool is_dirty() const { return dirty_blocks_ > 0; }
  FileData* next_dirty() const { return dirty_next_; }
  u64 dirty_since_ns() const { return dirty_since_ns_; }
  bool idle() const { return dirty_blocks_ == 0 && lock_.idle() && users_ == 0; }
  format::InodeNumber inode() const { return inode_; }
  SliceData& home() { return home_; }

 private:
  friend class PageCache;
  struct Piece;  // of what is being written
  struct DirectWrite;

  void forget(Folio& folio);
  Folio* find(u64 window);
  Folio* find_or_create(u64 window, u32 blocks, Budget budget = Budget::kept);
  void drop(Folio& folio);
  void clean(Folio& folio, BlockMask blocks);
  void mark_dirty(Folio& folio, BlockMask blocks);
  bool is_written_through_cache() const { return dirty_blocks_ > 0 || writing_back_; }

  // Of a block that is not cached.
  enum class Known : u8 { hole, data, unknown };
  Known look_up(u64 block);
  bool prepare_block(Folio& folio, u32 block);
  void copy_in(Folio& folio, u32 begin, ByteSpan from);

  enum class Memory : u8 { awaited, if_there_is_some };
  Task<Status> load(u64 window, BlockMask wanted, Memory memory = Memory::awaited);
  void read_ahead(u64 window, u64 ahead_end);
  Task<void> load_ahead(u64 window, BlockMask wanted);
  Task<Status> fill(Folio& folio, BlockMask blocks);
  Task<Result<u64>> read_extent(u64 first_block, MutableByteSpan into, btree::NodesHeld& held);
  struct ExtentRead;
  static void read_in_place(const format::Extent& extent, MutableByteSpan into);
  Status begin_read(const format::Extent& extent, u32 from, u32 blocks, ExtentRead& reading);
  Status verify(const ExtentRead& reading, u64 first, ByteSpan data) const;
  Task<Status> wait_for_memory();
  Task<Status> make_writable(u64 offset, u64 length);
  Task<Status> take_tokens(u64 first_block, u64 blocks);
  Task<Result<bool>> replaces_data(u64 first_block, u64 blocks);

  std::vector<ExtentRange> dirty_runs(u64 file_bytes);
  Task<Status> place_runs(const std::vector<ExtentRange>& runs, std::vector<Piece>& pieces);
  void stage(Piece& piece);
  Task<Status> wait_for_pieces(std::vector<Piece>& pieces);
  Task<Status> insert_for_commit(std::span<Piece> pieces, AttributeWriter* attributes, std::size_t& inserted);
  Task<Status> insert_pieces(std::span<Piece> pieces, AttributeWriter* attributes, std::size_t& inserted);
  bool try_insert(const Piece& piece, AttributeWriter* attributes);
  void apply_piece(const Piece& piece, const ExtentPlan& plan);
  bool fits_inline(u64 file_bytes) const;
  Task<Status> write_inline(u64 file_bytes, AttributeWriter* attributes);
  void end_pieces(const std::vector<Piece>& pieces, std::size_t inserted);
  Task<Status> write_pieces_direct(u64 block, ByteSpan from, AttributeWriter* attributes, bool serial, u64& done);
  Task<Status> place_direct(u64 block, ByteSpan from, std::vector<Piece>& pieces);
  void stage_direct(Piece& piece, Placement placement, u64 block, ByteSpan from);
  bool try_place_direct(Piece& piece, u64 block, ByteSpan from);
  Task<Status> insert_direct(std::span<Piece> pieces, Status result, AttributeWriter* attributes, u64& blocks);
  void end_direct(const Piece& piece, bool inserted);
  void overtake_cache(const Piece& piece);
  void drop_cached(u64 first_block, u64 end_block);
  Task<Status> zero_tail(u64 block, u32 from);
  Task<Status> remove_extents(u64 first_block, u64 end_block, AttributeWriter* attributes);

  SliceData& home_;
  const format::InodeNumber inode_;
  u64 extent_end_block_;  // no extent reaches beyond it
  absl::flat_hash_map<u64, Folio*> folios_;
  Folio* last_ = nullptr;
  FileData* dirty_previous_ = nullptr;  // in CoreData's list while dirty
  FileData* dirty_next_ = nullptr;
  u64 dirty_blocks_ = 0;
  u64 dirty_since_ns_ = 0;
  u64 sequential_at_ = 0;  // where the last read ended
  u64 ahead_window_ = 0;   // windows before it were asked for
  u32 users_ = 0;          // tasks inside
  SharedLock lock_;        // shared: loads and write-back; exclusive: truncate and punch
  runtime::Mutex write_back_lock_;
  bool writing_back_ = false;  // what is not dirty any more may have no key yet
  runtime::WaitList loaded_;
};

}  // namespace cowfs::data
