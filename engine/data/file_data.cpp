// The cached part: what needs no waiting is plain code, and the Tasks repeat it after having waited for what was missing.
#include "engine/data/file_data.h"

#include <algorithm>
#include <bit>

#include "engine/base/points.h"
#include "engine/codec/copy.h"

namespace cowfs::data {

using format::TreeId;

namespace {

// What falls into one window of [offset, offset + length).
struct Part {
  u64 window;
  u32 begin;  // bytes in the window
  u32 end;
  u32 first_block() const { return begin / static_cast<u32>(block_bytes); }
  u32 end_block() const { return (end + static_cast<u32>(block_bytes) - 1) / static_cast<u32>(block_bytes); }
  u32 length() const { return end - begin; }
  BlockMask mask() const { return mask_of(first_block(), end_block() - first_block()); }
};

Part first_part(u64 offset, u64 length) {
  const u64 window = offset / window_bytes;
  const u32 begin = static_cast<u32>(offset % window_bytes);
  return {window, begin, static_cast<u32>(std::min<u64>(window_bytes, begin + length))};
}

constexpr u64 overwrite_debt_max_blocks = 128;  // of one core, on a filesystem that is full
constexpr u64 read_ahead_windows = 8;            // 512 KiB
constexpr u64 cold_copy_bytes_min = 256;

// The blocks of a window before byte `end` of the file.
BlockMask mask_before(u64 window, u64 end) {
  const u64 begin = window * window_bytes;
  if (end <= begin) return 0;
  return mask_of(0, static_cast<u32>(std::min<u64>(window_blocks, (end - begin + block_bytes - 1) / block_bytes)));
}

}  // namespace

FileData::FileData(SliceData& home, format::InodeNumber inode, bool empty)
    : home_(home), inode_(inode), extent_end_block_(empty ? 0 : ~0ull) {}

FileData::~FileData() {
  assert(users_ == 0 && dirty_blocks_ == 0);
  discard_cache();
}

void FileData::forget(Folio& folio) {
  folios_.erase(folio.window);
  if (last_ == &folio) last_ = nullptr;
}

Folio* FileData::find(u64 window) {
  if (last_ != nullptr && last_->window == window) return last_;
  const auto found = folios_.find(window);
  if (found == folios_.end()) return nullptr;
  return last_ = found->second;
}

// With memory for the window's first `blocks` blocks; null when there is none, or when a load is in the way of growing.
Folio* FileData::find_or_create(u64 window, u32 blocks, Budget budget) {
  Folio* folio = find(window);
  if (folio == nullptr) {
    folio = home_.core.cache.create(*this, window, blocks, budget);
    if (folio != nullptr) folios_.emplace(window, folio);
    return last_ = folio;
  }
  if (folio->blocks() >= blocks) return folio;
  if (folio->loading != 0 || !home_.core.cache.grow(*folio, blocks, budget)) return nullptr;
  return folio;
}

void FileData::mark_dirty(Folio& folio, BlockMask blocks) {
  const int fresh = std::popcount(static_cast<BlockMask>(blocks & ~folio.dirty));
  if (fresh == 0) return;
  CoreData& core = home_.core;
  if (dirty_blocks_ == 0) {
    dirty_since_ns_ = runtime::this_reactor().now_ns();
    dirty_previous_ = core.dirty_last;
    dirty_next_ = nullptr;
    (core.dirty_last != nullptr ? core.dirty_last->dirty_next_ : core.dirty_first) = this;
    core.dirty_last = this;
  }
  folio.dirty |= blocks;
  dirty_blocks_ += static_cast<u64>(fresh);
  core.cache.count_dirty(fresh);
}

// The blocks are dirty no more; what becomes of their tokens is the caller's business.
void FileData::clean(Folio& folio, BlockMask blocks) {
  const int count = std::popcount(static_cast<BlockMask>(blocks & folio.dirty));
  if (count == 0) return;
  CoreData& core = home_.core;
  folio.dirty &= static_cast<BlockMask>(~blocks);
  dirty_blocks_ -= static_cast<u64>(count);
  core.cache.count_dirty(-count);
  if (dirty_blocks_ > 0) return;
  (dirty_previous_ != nullptr ? dirty_previous_->dirty_next_ : core.dirty_first) = dirty_next_;
  (dirty_next_ != nullptr ? dirty_next_->dirty_previous_ : core.dirty_last) = dirty_previous_;
}

void FileData::drop(Folio& folio) {
  home_.core.tokens.give(static_cast<u64>(std::popcount(folio.dirty)));
  clean(folio, folio.dirty);
  forget(folio);
  home_.core.cache.destroy(folio);
}

void FileData::discard_cache() {
  while (!folios_.empty()) drop(*folios_.begin()->second);
}

FileData::Known FileData::look_up(u64 block) {
  if (block >= extent_end_block_) return Known::hole;
  btree::Cursor at = home_.slice.tree(TreeId::extents).seek_before({inode_, block, format::snapshot_live});
  if (at.state() == btree::Cursor::State::missing) return Known::unknown;
  if (!at.valid() || at.key().inode != inode_) return Known::hole;
  const format::Extent extent = format::decode_extent(at.value());
  const bool covers = at.key().offset + extent.blocks > block;
  return covers && extent.kind != format::ExtentKind::unwritten ? Known::data : Known::hole;
}

u64 FileData::try_read(u64 offset, MutableByteSpan into) {
  if (lock_.exclusive()) return 0;
  u64 done = 0;
  while (done < into.size()) {
    const Part part = first_part(offset + done, into.size() - done);
    Folio* folio = find(part.window);
    if (folio == nullptr || (part.mask() & ~folio->valid) != 0) break;
    folio->referenced = true;
    std::memcpy(into.data() + done, folio->memory + part.begin, part.length());
    done += part.length();
  }
  sequential_at_ = offset + done;
  return done;
}

Task<Status> FileData::read(u64 offset, MutableByteSpan into, u64 ahead_end) {
  ++users_;
  Status result;
  bool sequential = offset == sequential_at_ || offset == 0;
  while (true) {
    const u64 done = try_read(offset, into);
    offset += done;
    into = into.subspan(done);
    if (into.empty()) break;
    const Part part = first_part(offset, into.size());
    BlockMask wanted = part.mask();
    if (sequential) {
      wanted |= mask_before(part.window, ahead_end);
      read_ahead(part.window + 1, ahead_end);
    }
    result = co_await load(part.window, wanted);
    // A block that was only to be read ahead may be damaged: whoever asks for it will hear of it.
    if (!result && wanted != part.mask()) result = co_await load(part.window, part.mask());
    if (!result) break;
    sequential = true;
  }
  --users_;
  co_return result;
}

// Starts loads of the windows from `window` on that were not asked for yet. They run by themselves; one that fails is
// simply tried again by whoever needs the data, and hears the error.
void FileData::read_ahead(u64 window, u64 ahead_end) {
  if (ahead_window_ < window || ahead_window_ > window + read_ahead_windows) ahead_window_ = window;
  const u64 end = std::min(window + read_ahead_windows, (ahead_end + window_bytes - 1) / window_bytes);
  for (; ahead_window_ < end && !lock_.exclusive(); ++ahead_window_) {
    if (find(ahead_window_) != nullptr) continue;
    home_.core.gate.spawn(load_ahead(ahead_window_, mask_before(ahead_window_, ahead_end)));
  }
}

// Nothing but the lock keeps the file while this runs, and who waits for memory does not hold it.
Task<void> FileData::load_ahead(u64 window, BlockMask wanted) {
  ++users_;
  (void)co_await load(window, wanted, Memory::if_there_is_some);
  --users_;
}

// Makes a block that is about to be written in part valid, if that needs no waiting.
bool FileData::prepare_block(Folio& folio, u32 block) {
  if ((folio.valid & mask_of(block, 1)) != 0) return true;
  if (look_up(folio.window * window_blocks + block) != Known::hole) return false;
  std::memset(folio.memory + block * block_bytes, 0, block_bytes);
  folio.valid |= mask_of(block, 1);
  return true;
}

void FileData::copy_in(Folio& folio, u32 begin, ByteSpan from) {
  std::byte* to = folio.memory + begin;
  if (from.size() >= cold_copy_bytes_min && home_.core.cache.outgrew_processor_caches())
    codec::copy_past_caches(to, from.data(), from.size());
  else
    std::memcpy(to, from.data(), from.size());
}

u64 FileData::try_write(u64 offset, ByteSpan from) {
  CoreData& core = home_.core;
  if (lock_.exclusive() || core.cache.must_write_back()) return 0;
  u64 done = 0;
  while (done < from.size()) {
    const Part part = first_part(offset + done, from.size() - done);
    Folio* folio = find_or_create(part.window, part.end_block());
    if (folio == nullptr || (folio->loading & part.mask()) != 0) break;
    if (part.begin % block_bytes != 0 && !prepare_block(*folio, part.first_block())) break;
    if (part.end % block_bytes != 0 && !prepare_block(*folio, part.end_block() - 1)) break;
    const BlockMask fresh = static_cast<BlockMask>(part.mask() & ~folio->dirty);
    if (fresh != 0 && !core.tokens.try_take(static_cast<u64>(std::popcount(fresh)))) break;
    copy_in(*folio, part.begin, from.subspan(done, part.length()));
    folio->valid |= part.mask();
    folio->referenced = true;
    mark_dirty(*folio, part.mask());
    done += part.length();
  }
  if (core.cache.wants_write_back()) core.flush_wanted.wake_all();
  return done;
}

Task<Result<u64>> FileData::write(u64 offset, ByteSpan from, AttributeWriter* attributes) {
  ++users_;
  u64 done = 0;
  Status result;
  while (true) {
    done += try_write(offset + done, from.subspan(done));
    if (done == from.size()) break;
    if (attributes != nullptr && done > 0) attributes->cached(offset + done);
    const Part part = first_part(offset + done, from.size() - done);
    result = co_await make_writable(offset + done, part.length());
    if (!result) break;
  }
  --users_;
  if (!result && done == 0) co_return result.error();
  co_return done;
}

// Waits for one thing that keeps try_write from going on.
Task<Status> FileData::make_writable(u64 offset, u64 length) {
  CoreData& core = home_.core;
  if (core.cache.must_write_back()) {
    reached(Point::write_back_awaited);
    core.flush_wanted.wake_all();
    co_await core.written_back.wait();
    co_return core.write_back_result;
  }
  if (lock_.exclusive()) {
    co_await lock_.acquire_shared();
    lock_.release_shared();
    co_return Status{};
  }
  const Part part = first_part(offset, length);
  Folio* folio = find(part.window);
  if (folio != nullptr && folio->loading != 0) {
    co_await loaded_.wait();
    co_return Status{};
  }
  folio = find_or_create(part.window, part.end_block());
  if (folio == nullptr) co_return co_await wait_for_memory();
  BlockMask partial = 0;
  if (part.begin % block_bytes != 0) partial |= mask_of(part.first_block(), 1);
  if (part.end % block_bytes != 0) partial |= mask_of(part.end_block() - 1, 1);
  if ((partial & ~folio->valid) != 0) co_return co_await load(part.window, partial);
  const u64 fresh = static_cast<u64>(std::popcount(static_cast<BlockMask>(part.mask() & ~folio->dirty)));
  co_return co_await take_tokens(part.window * window_blocks + part.first_block(), fresh);
}

// Leaves at least `blocks` tokens with this core. When the filesystem is full, blocks that replace others are still
// accepted: they need room only until their write-back has freed the old ones, and the reserve of copygc covers that.
Task<Status> FileData::take_tokens(u64 first_block, u64 blocks) {
  CoreData& core = home_.core;
  Status taken = co_await core.tokens.take_free(blocks);
  if (!taken && error_class(taken.error().code) == ErrorClass::space) {
    const Result<bool> replaces = co_await replaces_data(first_block, blocks);
    if (!replaces) co_return replaces.error();
    if (*replaces && core.tokens.try_borrow(blocks, overwrite_debt_max_blocks)) {
      reached(Point::tokens_borrowed);
      co_return Status{};
    }
    // What was borrowed comes back with what is under way; when nothing is, it is gone.
    const bool under_way = core.dirty_first != nullptr || core.cache.busy_folios() > 0 || core.direct_blocks > 0;
    if (*replaces && under_way) {
      core.flush_wanted.wake_all();
      co_await core.written_back.wait();
      co_return core.dirty_first != nullptr ? core.write_back_result : Status{};
    }
    taken = co_await core.tokens.take(blocks);
  }
  if (taken) core.tokens.give(blocks);
  co_return taken;
}

// True when each block is of data already, on the medium or on its way there.
Task<Result<bool>> FileData::replaces_data(u64 first_block, u64 blocks) {
  btree::NodesHeld held;
  for (u64 block = first_block; block < first_block + blocks;) {
    const Folio* folio = find(block / window_blocks);
    const BlockMask bit = mask_of(static_cast<u32>(block % window_blocks), 1);
    const bool on_its_way = folio != nullptr && ((folio->dirty | folio->writing) & bit) != 0;
    const Known known = on_its_way ? Known::data : look_up(block);
    if (known == Known::hole) co_return false;
    if (known == Known::data) {
      ++block;
      held.release();
      continue;
    }
    const btree::Cursor at = home_.slice.tree(TreeId::extents).seek_before({inode_, block, format::snapshot_live});
    const Status loaded = co_await home_.slice.load({TreeId::extents, at.missing()}, held);
    if (!loaded) co_return loaded.error();
  }
  co_return true;
}

Task<Status> FileData::wait_for_memory() {
  CoreData& core = home_.core;
  if (core.dirty_first == nullptr && core.cache.busy_folios() == 0) {
    co_return Error{Code::cache_exhausted, core.cache.budget().value};
  }
  reached(Point::page_memory_awaited);
  core.flush_wanted.wake_all();
  co_await core.written_back.wait();
  co_return core.write_back_result;
}

}  // namespace cowfs::data
