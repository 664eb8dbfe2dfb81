// Past the cache. A write that fits into one extent, and finds tokens and a place at once, takes the short way: it waits
// once, for the device write that it shares with others, and when that has ended the keys of all of them go in together.
// Whatever else there is takes the long way of the same steps.
#include <algorithm>

#include "engine/base/points.h"
#include "engine/codec/checksum.h"
#include "engine/data/piece_internal.h"
#include "engine/slice/extent_ahead.h"

namespace cowfs::data {
namespace {

// Of the first extent of a direct write.
u64 first_blocks(ByteSpan from) { return std::min<u64>(from.size() / block_bytes, format::extent_blocks_max); }

}  // namespace

struct FileData::DirectWrite : Arrival {
  DirectWrite(FileData& of_file, AttributeWriter* of_inode) : file(of_file), attributes(of_inode) {
    approach = go_ahead;
    arrived = insert;
  }
  static void go_ahead(Arrival& arrival, u32 step) {
    DirectWrite& write = static_cast<DirectWrite&>(arrival);
    write.ahead.take(step, write.file.home_.slice, {write.file.inode_, write.piece.first_block, format::snapshot_live});
  }
  static void insert(Arrival& arrival) {
    DirectWrite& write = static_cast<DirectWrite&>(arrival);
    write.ahead.lead(write.file.home_.slice);
    write.inserted = write.file.try_insert(write.piece, write.attributes);
    if (write.inserted) write.file.end_direct(write.piece, true);
  }

  FileData& file;
  AttributeWriter* attributes;
  Piece piece;
  slice::ExtentAhead ahead;
  bool inserted = false;
};

// The short way is in this coroutine: each one more is memory that nobody touched since the write began.
Task<Result<u64>> FileData::write_direct(u64 offset, ByteSpan from, AttributeWriter* attributes) {
  assert(offset % block_bytes == 0 && from.size() % block_bytes == 0);
  ++users_;
  Status result;
  u64 done = 0;  // blocks
  while (done < from.size() / block_bytes && result) {
    const u64 block = offset / block_bytes + done;
    const ByteSpan rest = from.subspan(done * block_bytes);
    if (const u64 blocks = first_blocks(rest); home_.core.tokens.free() < blocks) {
      // They may come from what is dirty, of this file too: nothing is held meanwhile.
      result = co_await take_tokens(block, blocks);
      continue;
    }
    // Older data must not get their keys after these.
    const bool serial = is_written_through_cache();
    if (serial) co_await write_back_lock_.acquire();
    if (!lock_.try_acquire_shared()) co_await lock_.acquire_shared();
    if (!serial && is_written_through_cache()) {
      lock_.release_shared();
      continue;
    }
    DirectWrite single(*this, attributes);
    single.piece.serial = serial;
    if (!home_.core.tokens.try_take(first_blocks(rest))) {
      // Somebody was faster: more are asked for.
    } else if (try_place_direct(single.piece, block, rest)) {
      single.batch = single.piece.placement.batch.get();
      result = co_await single;
      if (single.inserted) {
        done += single.piece.placement.blocks;
      } else {
        result = co_await insert_direct({&single.piece, 1}, result, attributes, done);
      }
    } else {
      result = co_await write_pieces_direct(block, rest, attributes, serial, done);
    }
    home_.core.written_back.wake_all();
    lock_.release_shared();
    if (serial) write_back_lock_.release();
  }
  --users_;
  if (!result && done == 0) co_return result.error();
  co_return done * block_bytes;
}

// As much as there are tokens for; adds it to `done`.
Task<Status> FileData::write_pieces_direct(u64 block, ByteSpan from, AttributeWriter* attributes, bool serial, u64& done) {
  std::vector<Piece> pieces;
  const Status placed = co_await place_direct(block, from, pieces);
  for (Piece& piece : pieces) piece.serial = serial;
  const Status written = co_await wait_for_pieces(pieces);
  const Status inserted = co_await insert_direct(pieces, written, attributes, done);
  co_return inserted ? placed : inserted;
}

// All of a small write, or as much as the bucket and the buffer have room for; false: something has to be waited for. Tokens
// for first_blocks(from) are taken.
bool FileData::try_place_direct(Piece& piece, u64 block, ByteSpan from) {
  const u64 blocks = from.size() / block_bytes;
  if (blocks > format::extent_blocks_max) return false;
  std::optional<Placement> placed = home_.user.try_place(static_cast<u32>(blocks));
  if (placed) stage_direct(piece, std::move(*placed), block, from);
  return placed.has_value();
}

// All of it, or as much as there are tokens for: on a full filesystem the first part gives those of the next. What was placed
// before an error is good. Tokens for first_blocks(from) are taken.
Task<Status> FileData::place_direct(u64 block, ByteSpan from, std::vector<Piece>& pieces) {
  CoreData& core = home_.core;
  for (bool taken = true; !from.empty(); taken = false) {
    const u64 blocks = first_blocks(from);
    if (!taken && !core.tokens.try_take(blocks)) break;
    Result<Placement> placed = co_await home_.user.place(static_cast<u32>(blocks));
    if (!placed) {
      core.tokens.give(blocks);
      co_return placed.error();
    }
    Piece& piece = pieces.emplace_back();
    stage_direct(piece, std::move(*placed), block, from.first(blocks * block_bytes));
    block = piece.end_block();
    from = from.subspan(piece.placement.blocks * block_bytes);
  }
  co_return Status{};
}

// Tokens are taken for all of `from`; those for what has no room in the placement go back.
void FileData::stage_direct(Piece& piece, Placement placement, u64 block, ByteSpan from) {
  piece.first_block = block;
  piece.placement = std::move(placement);
  const u32 blocks = piece.placement.blocks;
  home_.core.tokens.give(from.size() / block_bytes - blocks);
  home_.core.direct_blocks += blocks;
  piece.checksums.kind = home_.checksum_kind;
  codec::copy_blocks(piece.checksums.kind, piece.placement.staging, from.data(), blocks, piece.checksums.of(0));
}

// Ends what was placed, all of which may have failed already. Adds to `blocks` what is in place now.
Task<Status> FileData::insert_direct(std::span<Piece> pieces, Status result, AttributeWriter* attributes, u64& blocks) {
  std::size_t inserted = 0;
  if (result) result = co_await insert_pieces(pieces, attributes, inserted);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    end_direct(pieces[i], i < inserted);
    if (i < inserted) blocks += pieces[i].placement.blocks;
  }
  co_return result;
}

void FileData::end_direct(const Piece& piece, bool inserted) {
  home_.core.direct_blocks -= piece.placement.blocks;
  if (inserted) {
    overtake_cache(piece);
  } else {
    home_.core.tokens.give(piece.placement.blocks);
  }
}

// What the cache has of these blocks is older, but for what was written into it meanwhile, unless nothing could be written back
// meanwhile: then that is as good as older. A load that began before the keys were in may have read the old blocks, and so may
// one that ended meanwhile.
void FileData::overtake_cache(const Piece& piece) {
  for (u64 block = piece.first_block; block < piece.end_block() && !folios_.empty(); ++block) {
    Folio* folio = find(block / window_blocks);
    if (folio == nullptr) continue;
    const BlockMask bit = mask_of(static_cast<u32>(block % window_blocks), 1);
    folio->overtaken |= static_cast<BlockMask>(folio->loading & bit);
    if (piece.serial && (folio->dirty & bit) != 0) {
      home_.core.tokens.give(1);
      clean(*folio, bit);
    }
    const bool newer = ((folio->dirty | folio->writing) & bit) != 0;
    if (!newer) folio->valid &= static_cast<BlockMask>(~bit);
  }
}

}  // namespace cowfs::data
