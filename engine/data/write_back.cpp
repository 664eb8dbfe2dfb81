// From dirty blocks to extents. The order is what makes it safe: room, a copy with checksums in one pass, the device write,
// and when it is complete the keys that name it. Until both are through, the copied blocks stay in the cache, marked
// `writing`; when anything fails they are dirty again and nothing was lost. When a commit follows, keys do not wait for
// the write, because the commit does.
#include <algorithm>
#include <bit>

#include "engine/base/points.h"
#include "engine/codec/checksum.h"
#include "engine/data/piece_internal.h"

namespace cowfs::data {

using format::ExtentValue;

namespace {

constexpr std::size_t extents_per_transaction_max = 32;
constexpr u64 removal_cut_ns = 3'000'000;
constexpr u64 transaction_bytes_max = journal::reservation_bytes_max / 2;
constexpr u64 piece_slack_bytes = 2048;  // a second planning may cut what the first one inserted

template <typename Piece>
i64 blocks_added(const Piece& piece, const ExtentPlan& plan) {
  return static_cast<i64>(piece.placement.blocks) - static_cast<i64>(plan.removed_blocks);
}

// Journal bytes used.
u64 apply_attributes(Slice& slice, AttributeWriter* attributes, const DataChange& change) {
  if (attributes == nullptr || !attributes->follows(change)) return 0;
  const slice::Update update = attributes->update(change);
  slice.apply(update);
  attributes->applied(change);
  return slice::journal_bytes(update);
}

}  // namespace

Task<Result<Epoch>> FileData::write_back(u64 file_bytes, AttributeWriter* attributes, Then then) {
  ++users_;
  co_await write_back_lock_.acquire();
  const runtime::MutexHold serial(write_back_lock_);
  co_await lock_.acquire_shared();
  const SharedHold shared(lock_);
  --users_;

  flush_pending = false;
  if (dirty_blocks_ == 0) co_return home_.slice.stream().current();
  Status result;
  if (fits_inline(file_bytes)) {
    result = co_await write_inline(file_bytes, attributes);
  } else {
    writing_back_ = true;
    std::vector<Piece> pieces;
    const std::vector<ExtentRange> runs = dirty_runs(file_bytes);
    result = co_await place_runs(runs, pieces);
    std::size_t inserted = 0;
    const bool early = then == Then::commit && result.ok();
    if (early) result = co_await insert_for_commit(pieces, attributes, inserted);
    const Status written = co_await wait_for_pieces(pieces);
    if (result) result = written;
    if (result && !early) result = co_await insert_pieces(pieces, attributes, inserted);
    end_pieces(pieces, inserted);
    writing_back_ = false;
  }
  home_.core.write_back_result = result;
  home_.core.written_back.wake_all();
  if (!result) co_return result.error();
  co_return home_.slice.stream().current();
}

// What came behind the end since it was asked for is left to the next one: no extent lies behind the end that goes with it.
std::vector<ExtentRange> FileData::dirty_runs(u64 file_bytes) {
  const u64 end_block = file_bytes / block_bytes + (file_bytes % block_bytes != 0);
  std::vector<const Folio*> dirty;
  for (const auto& [window, folio] : folios_) {
    if (folio->dirty != 0) dirty.push_back(folio);
  }
  std::sort(dirty.begin(), dirty.end(), [](const Folio* a, const Folio* b) { return a->window < b->window; });
  std::vector<ExtentRange> runs;
  for (const Folio* folio : dirty) {
    for (u32 block = 0; block < window_blocks; ++block) {
      if ((folio->dirty & mask_of(block, 1)) == 0) continue;
      const u64 at = folio->window * window_blocks + block;
      if (at >= end_block) break;
      if (runs.empty() || runs.back().end_block != at) runs.push_back({inode_, at, at});
      ++runs.back().end_block;
    }
  }
  return runs;
}

Task<Status> FileData::place_runs(const std::vector<ExtentRange>& runs, std::vector<Piece>& pieces) {
  for (const ExtentRange& run : runs) {
    u64 block = run.first_block;
    while (block < run.end_block) {
      const u32 wanted = static_cast<u32>(std::min<u64>(run.end_block - block, format::extent_blocks_max));
      std::optional<Placement> placement = home_.user.try_place(wanted);
      if (!placement) {
        Result<Placement> waited = co_await home_.user.place(wanted);
        if (!waited) co_return waited.error();
        placement = std::move(*waited);
      }
      Piece& piece = pieces.emplace_back();
      piece.first_block = block;
      piece.placement = std::move(*placement);
      stage(piece);
      block = piece.end_block();
    }
  }
  co_return Status{};
}

void FileData::stage(Piece& piece) {
  piece.checksums.kind = home_.checksum_kind;
  for (u32 done = 0; done < piece.placement.blocks;) {
    const u64 block = piece.first_block + done;
    const u32 in_window = static_cast<u32>(block % window_blocks);
    const u32 count = std::min(piece.placement.blocks - done, window_blocks - in_window);
    Folio& folio = *find(block / window_blocks);
    codec::copy_blocks(piece.checksums.kind, piece.placement.staging + done * block_bytes,
                       folio.memory + in_window * block_bytes, count, piece.checksums.of(done));
    clean(folio, mask_of(in_window, count));
    if (folio.writing == 0) home_.core.cache.count_busy(1);
    folio.writing |= mask_of(in_window, count);
    done += count;
  }
}

Task<Status> FileData::wait_for_pieces(std::vector<Piece>& pieces) {
  Status result;
  for (Piece& piece : pieces) {
    const std::shared_ptr<Batch> batch = std::move(piece.placement.batch);
    if (!batch->done) {
      const Status written = co_await WritePoint::written(batch);
      if (!written) result = written;
    } else if (!batch->result) {
      result = batch->result;
    }
  }
  co_return result;
}

// Inserts a piece when nothing has to be waited for.
bool FileData::try_insert(const Piece& piece, AttributeWriter* attributes) {
  Slice& slice = home_.slice;
  ExtentPlan& plan = home_.core.plan;
  plan.clear();
  slice::Missing missing;
  const ExtentValue value = piece.value();
  if (!plan_extents(slice, piece.range(inode_), &value, ~0ull, plan, missing) || !ready(slice, plan, missing)) return false;
  const DataChange change{.end_bytes = piece.end_block() * block_bytes, .blocks = blocks_added(piece, plan)};
  const bool follows = attributes != nullptr && attributes->follows(change);
  const slice::Update update = follows ? attributes->update(change) : slice::Update{};
  if (follows && !slice.ready(update, missing)) return false;
  if (!slice.stream().try_reserve(plan.journal_bytes + (follows ? slice::journal_bytes(update) : 0))) return false;
  apply_piece(piece, plan);
  if (follows) {
    slice.apply(update);
    attributes->applied(change);
  }
  return true;
}

void FileData::apply_piece(const Piece& piece, const ExtentPlan& plan) {
  apply(home_.slice, plan);
  home_.core.tokens.give(plan.removed_blocks);
  if (extent_end_block_ != ~0ull) extent_end_block_ = std::max(extent_end_block_, piece.end_block());
}

// As many pieces at once as one transaction may hold; one epoch names them all. `inserted` counts those that are in.
Task<Status> FileData::insert_pieces(std::span<Piece> pieces, AttributeWriter* attributes, std::size_t& inserted) {
  journal::Stream& stream = home_.slice.stream();
  ExtentPlan& plan = home_.core.plan;
  btree::NodesHeld held;
  while (!pieces.empty()) {
    if (pieces.size() == 1 && try_insert(pieces.front(), attributes)) {
      ++inserted;
      break;
    }
    plan.clear();
    slice::Missing missing;
    std::size_t count = 0;
    u64 bytes = 0;
    bool resident = true;
    for (const Piece& piece : pieces) {
      const ExtentValue value = piece.value();
      resident = plan_extents(home_.slice, piece.range(inode_), &value, ~0ull, plan, missing);
      const u64 wanted = plan.journal_bytes + (count + 1) * piece_slack_bytes;
      const bool full = count > 0 && (wanted > transaction_bytes_max || forced(Point::transaction_cut));
      if (!resident || full) break;
      bytes = wanted;
      ++count;
    }
    if (resident) resident = ready(home_.slice, plan, missing);
    DataChange change;
    change.end_bytes = pieces[std::max<std::size_t>(count, 1) - 1].end_block() * block_bytes;
    change.complete = count == pieces.size();
    if (resident && attributes != nullptr) {
      const slice::Update update = attributes->update(change);
      resident = home_.slice.ready(update, missing);
      bytes += slice::journal_bytes(update);
    }
    if (!resident || !stream.try_reserve(bytes)) {
      const Status waited = co_await home_.slice.wait_to_apply(resident, missing, held, bytes);
      if (!waited) co_return waited;
      continue;
    }
    u64 used = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const Piece& piece = pieces[i];
      const ExtentValue value = piece.value();
      plan.clear();
      const bool planned = plan_extents(home_.slice, piece.range(inode_), &value, ~0ull, plan, missing);
      assert(planned);
      apply_piece(piece, plan);
      used += plan.journal_bytes;
      change.blocks += blocks_added(piece, plan);
    }
    used += apply_attributes(home_.slice, attributes, change);
    assert(used <= bytes);
    stream.unreserve(bytes - used);
    held.release();
    pieces = pieces.subspan(count);
    inserted += count;
  }
  co_return Status{};
}

Task<Status> FileData::insert_for_commit(std::span<Piece> pieces, AttributeWriter* attributes, std::size_t& inserted) {
  for (const Piece& piece : pieces) WritePoint::named(piece.placement);
  const Status result = co_await insert_pieces(pieces, attributes, inserted);
  if (result) home_.slice.stream().want_commit(home_.slice.stream().current());
  co_return result;
}

bool FileData::fits_inline(u64 file_bytes) const {
  if (file_bytes == 0 || file_bytes > format::inline_bytes_max || extent_end_block_ > 1 || folios_.size() != 1) return false;
  const Folio& folio = *folios_.begin()->second;
  return folio.window == 0 && (folio.dirty & ~mask_of(0, 1)) == 0;
}

// A tiny file lives in its key: no data block, no device write of its own.
Task<Status> FileData::write_inline(u64 file_bytes, AttributeWriter* attributes) {
  journal::Stream& stream = home_.slice.stream();
  Folio& folio = *folios_.begin()->second;
  ExtentPlan& plan = home_.core.plan;
  DataChange change{.end_bytes = file_bytes};
  btree::NodesHeld held;
  while (true) {
    plan.clear();
    slice::Missing missing;
    const ExtentValue value = ExtentValue::inline_data({folio.memory, file_bytes});
    bool resident = plan_extents(home_.slice, {inode_, 0, 1}, &value, ~0ull, plan, missing) &&
                    ready(home_.slice, plan, missing);
    u64 bytes = plan.journal_bytes;
    change.blocks = -static_cast<i64>(plan.removed_blocks);
    if (resident && attributes != nullptr) {
      const slice::Update update = attributes->update(change);
      resident = home_.slice.ready(update, missing);
      bytes += slice::journal_bytes(update);
    }
    if (resident && stream.try_reserve(bytes)) break;
    const Status waited = co_await home_.slice.wait_to_apply(resident, missing, held, bytes);
    if (!waited) co_return waited;
  }
  apply(home_.slice, plan);
  apply_attributes(home_.slice, attributes, change);
  home_.core.tokens.give(plan.removed_blocks + 1);
  if (extent_end_block_ != ~0ull) extent_end_block_ = std::max<u64>(extent_end_block_, 1);
  clean(folio, mask_of(0, 1));
  co_return Status{};
}

// The first `inserted` pieces are named by keys; the blocks of the others are dirty again.
void FileData::end_pieces(const std::vector<Piece>& pieces, std::size_t inserted) {
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    for (u64 block = piece.first_block; block < piece.end_block(); ++block) {
      Folio& folio = *find(block / window_blocks);
      const BlockMask bit = mask_of(static_cast<u32>(block % window_blocks), 1);
      if ((folio.writing & bit) == 0) continue;
      folio.writing &= static_cast<BlockMask>(~bit);
      if (folio.writing == 0) home_.core.cache.count_busy(-1);
      if (i < inserted) continue;
      reached(Point::write_back_failed);
      if ((folio.dirty & bit) != 0) home_.core.tokens.give(1);  // written again meanwhile, with a token of its own
      mark_dirty(folio, bit);
    }
  }
}

Task<Status> FileData::remove_extents(u64 first_block, u64 end_block, AttributeWriter* attributes) {
  const Removal removal(home_.core);
  journal::Stream& stream = home_.slice.stream();
  ExtentPlan plan;
  btree::NodesHeld held;
  while (true) {
    plan.clear();
    slice::Missing missing;
    const ExtentRange range{inode_, first_block, end_block};
    const bool cut = forced(Point::removal_cut);
    const std::size_t extents_max = cut ? 1 : extents_per_transaction_max;
    bool resident = first_block >= extent_end_block_ ||
                    (plan_extents(home_.slice, range, nullptr, extents_max, plan, missing) &&
                     ready(home_.slice, plan, missing));
    u64 bytes = plan.journal_bytes;
    const DataChange change{.complete = plan.complete, .blocks = -static_cast<i64>(plan.removed_blocks)};
    if (resident && attributes != nullptr && attributes->follows(change)) {
      const slice::Update update = attributes->update(change);
      resident = home_.slice.ready(update, missing);
      bytes += slice::journal_bytes(update);
    }
    if (resident && bytes == 0) break;
    if (!resident || !stream.try_reserve(bytes)) {
      const Status waited = co_await home_.slice.wait_to_apply(resident, missing, held, bytes);
      if (!waited) co_return waited;
      continue;
    }
    apply(home_.slice, plan);
    apply_attributes(home_.slice, attributes, change);
    home_.core.tokens.give(plan.removed_blocks);
    held.release();
    if (plan.complete) break;
    if (cut) {
      stream.want_commit(stream.current());
      co_await runtime::sleep_until(runtime::this_reactor().now_ns() + removal_cut_ns);
    }
  }
  if (end_block >= extent_end_block_ && extent_end_block_ != ~0ull) {
    extent_end_block_ = std::min(extent_end_block_, first_block);
  }
  co_return Status{};
}

Task<Status> FileData::punch(u64 first_block, u64 end_block, AttributeWriter* attributes) {
  ++users_;
  co_await lock_.acquire_exclusive();
  const ExclusiveHold hold(lock_);
  --users_;
  drop_cached(first_block, end_block);
  co_return co_await remove_extents(first_block, end_block, attributes);
}

void FileData::drop_cached(u64 first_block, u64 end_block) {
  std::vector<Folio*> touched;
  for (const auto& [window, folio] : folios_) {
    if ((window + 1) * window_blocks > first_block && window * window_blocks < end_block) touched.push_back(folio);
  }
  for (Folio* folio : touched) {
    const u64 base = folio->window * window_blocks;
    const u32 from = static_cast<u32>(std::max(base, first_block) - base);
    const u32 to = static_cast<u32>(std::min(base + window_blocks, end_block) - base);
    const BlockMask gone = mask_of(from, to - from);
    home_.core.tokens.give(static_cast<u64>(std::popcount(static_cast<BlockMask>(folio->dirty & gone))));
    clean(*folio, gone);
    folio->valid &= static_cast<BlockMask>(~gone);
    if (folio->valid == 0) drop(*folio);
  }
}

Task<Status> FileData::truncate(u64 offset, AttributeWriter* attributes) {
  ++users_;
  co_await lock_.acquire_exclusive();
  const ExclusiveHold hold(lock_);
  --users_;
  const u64 boundary = offset / block_bytes;
  const u64 first_block = (offset + block_bytes - 1) / block_bytes;
  drop_cached(first_block, ~0ull / block_bytes);
  if (boundary != first_block) {
    const Status zeroed = co_await zero_tail(boundary, static_cast<u32>(offset % block_bytes));
    if (!zeroed) co_return zeroed;
  }
  co_return co_await remove_extents(first_block, ~0ull / block_bytes, attributes);
}

// The bytes of a block behind a new end of file must read as zeros when the file grows again.
Task<Status> FileData::zero_tail(u64 block, u32 from) {
  const u32 in_window = static_cast<u32>(block % window_blocks);
  const BlockMask bit = mask_of(in_window, 1);
  Folio* folio = nullptr;
  while (true) {
    folio = find(block / window_blocks);
    if (folio != nullptr && (folio->valid & bit) != 0) break;
    const Known known = look_up(block);
    if (known == Known::hole) co_return Status{};
    folio = find_or_create(block / window_blocks, in_window + 1, Budget::passed);
    assert(folio != nullptr);
    folio->loading = bit;
    const Status filled = co_await fill(*folio, bit);
    folio->loading = 0;
    if (!filled) co_return filled;
    folio->valid |= bit;
  }
  if ((folio->dirty & bit) == 0) home_.core.tokens.force(1);
  std::memset(folio->memory + in_window * block_bytes + from, 0, block_bytes - from);
  mark_dirty(*folio, bit);
  co_return Status{};
}

}  // namespace cowfs::data
