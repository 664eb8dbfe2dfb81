// From extents to memory: every block that comes from the medium is checked against its own checksum, and only the blocks
// that are wanted are read, however long the extent is.
#include <algorithm>
#include <bit>
#include <optional>

#include "engine/base/points.h"
#include "engine/codec/checksum.h"
#include "engine/data/file_data.h"
#include "engine/device/copies.h"

namespace cowfs::data {

using format::Extent;
using format::ExtentKind;
using format::TreeId;

// Brings `wanted` blocks of a window into the cache.
Task<Status> FileData::load(u64 window, BlockMask wanted, Memory memory) {
  co_await lock_.acquire_shared();
  std::optional<SharedHold> hold(std::in_place, lock_);
  const u32 needed = static_cast<u32>(std::bit_width(wanted));
  Folio* folio = find(window);
  if (folio != nullptr && folio->loading != 0) {
    co_await loaded_.wait();
    co_return Status{};  // the caller looks again
  }
  folio = find_or_create(window, needed);
  if (folio == nullptr) {
    if (memory == Memory::if_there_is_some) co_return Status{};
    hold.reset();  // a truncation that waits for it holds up write-back
    co_return co_await wait_for_memory();
  }
  const BlockMask missing = static_cast<BlockMask>(wanted & ~folio->valid);
  if (missing == 0) co_return Status{};

  folio->loading = missing;
  home_.core.cache.count_busy(1);
  const Status filled = co_await fill(*folio, missing);
  folio->loading = 0;
  home_.core.cache.count_busy(-1);
  if (folio->overtaken != 0) reached(Point::page_load_overtaken);
  if (filled) folio->valid |= static_cast<BlockMask>(missing & ~folio->overtaken);
  folio->overtaken = 0;
  loaded_.wake_all();
  home_.core.written_back.wake_all();
  co_return filled;
}

// Blocks that are being loaded are not written by way of the cache.
Task<Status> FileData::fill(Folio& folio, BlockMask blocks) {
  btree::NodesHeld held;
  u32 block = 0;
  while (block < window_blocks) {
    if ((blocks & mask_of(block, 1)) == 0) {
      ++block;
      continue;
    }
    u32 end = block + 1;
    while (end < window_blocks && (blocks & mask_of(end, 1)) != 0) ++end;
    const MutableByteSpan into{folio.memory + block * block_bytes, (end - block) * block_bytes};
    const Result<u64> read = co_await read_extent(folio.window * window_blocks + block, into, held);
    if (!read) co_return read.error();
    block += static_cast<u32>(*read);
  }
  co_return Status{};
}

// What a read from an extent has to remember: the tree's memory is gone when the data comes, and the bucket must not be.
struct FileData::ExtentRead {
  Place place;
  space::BucketPin pin;
  format::BlockChecksums expected;
};

// What the first extent, or hole, of a range has of it: the blocks that were read. 0: nodes were loaded, look again; `held` keeps
// them. What is found before the first wait is what the cache does not know better: a key of an fsync's data is in the tree
// before its data are on the device, and until they are, the cache has them.
Task<Result<u64>> FileData::read_extent(u64 first_block, MutableByteSpan into, btree::NodesHeld& held) {
  const u64 blocks = into.size() / block_bytes;
  btree::Cursor at = home_.slice.tree(TreeId::extents).seek_before({inode_, first_block, format::snapshot_live});
  const bool before = at.valid() && at.key().inode == inode_;
  const Extent extent = before ? format::decode_extent(at.value()) : Extent{};
  const u64 skipped = before ? first_block - at.key().offset : 0;
  if (before && skipped < extent.blocks) {
    held.release();
    const u64 count = std::min<u64>(blocks, extent.blocks - skipped);
    const MutableByteSpan part = into.first(count * block_bytes);
    if (extent.kind == ExtentKind::lost) co_return Error{Code::extent_lost, inode_, {.slice = home_.slice.id()}};
    if (extent.kind != ExtentKind::data) {
      read_in_place(extent, part);
      co_return count;
    }
    ExtentRead reading;
    const Status begun = begin_read(extent, static_cast<u32>(skipped), static_cast<u32>(count), reading);
    if (!begun) co_return begun.error();
    device::Device& device = home_.slice.devices()[reading.place.device];
    Status read = co_await device.read(reading.place.offset_bytes, part);
    if (read) read = verify(reading, 0, part);
    if (!read) {
      const auto check = [this, &reading](u64 index, ByteSpan block) { return verify(reading, index, block); };
      read = co_await device::read_blocks_of_other_copies(device, reading.place.offset_bytes, part, check, read.error());
    }
    if (!read) co_return read.error();
    co_return count;
  }
  if (at.state() != btree::Cursor::State::missing) at = home_.slice.tree(TreeId::extents).seek({inode_, first_block, 0});
  if (at.state() == btree::Cursor::State::missing) {
    const Status loaded = co_await home_.slice.load({TreeId::extents, at.missing()}, held);
    if (!loaded) co_return loaded.error();
    co_return 0;
  }
  held.release();
  u64 hole = blocks;
  if (at.valid() && at.key().inode == inode_) hole = std::min(hole, at.key().offset - first_block);
  std::memset(into.data(), 0, hole * block_bytes);
  co_return hole;
}

void FileData::read_in_place(const Extent& extent, MutableByteSpan into) {
  std::memset(into.data(), 0, into.size());
  if (extent.kind != ExtentKind::inline_data) return;
  std::memcpy(into.data(), extent.inline_bytes.data(), extent.inline_bytes.size());
}

Status FileData::begin_read(const Extent& extent, u32 from, u32 blocks, ExtentRead& reading) {
  const format::Address address = extent.address.plus(from);
  reading.place = {.device = address.device(), .slice = home_.slice.id(), .offset_bytes = address.offset_bytes()};
  const bool live = home_.slice.buckets().check_live(extent.address, extent.blocks, extent.generation).ok();
  if (!live || !home_.slice.devices().has(address.device())) {
    return Error{Code::extent_pointer_invalid, inode_, reading.place};
  }
  reading.expected.take(extent, from, blocks);
  reading.pin = home_.slice.buckets().pin(address);
  return {};
}

// `data`: of the extent's blocks from `first` on.
Status FileData::verify(const ExtentRead& reading, u64 first, ByteSpan data) const {
  const std::size_t blocks = data.size() / block_bytes;
  const format::BlockChecksums& expected = reading.expected;
  const std::size_t wrong =
      codec::first_wrong_block(expected.kind, data.data(), blocks, expected.of(static_cast<u32>(first)));
  if (wrong == blocks) return {};
  Place place = reading.place;
  place.offset_bytes += (first + wrong) * block_bytes;
  return Error{Code::extent_checksum_mismatch, inode_, place};
}

// Cached blocks are newer than the medium, or equal to it. What is cached is asked again after each wait.
Task<Status> FileData::read_direct(u64 offset, MutableByteSpan into) {
  assert(offset % block_bytes == 0 && into.size() % block_bytes == 0);
  ++users_;
  Status result;
  if (!lock_.try_acquire_shared()) co_await lock_.acquire_shared();
  btree::NodesHeld held;
  while (!into.empty() && result) {
    const u64 block = offset / block_bytes;
    const auto cached = [&](u64 at) {
      Folio* folio = folios_.empty() ? nullptr : find(at / window_blocks);
      return folio != nullptr && (folio->valid & mask_of(static_cast<u32>(at % window_blocks), 1)) != 0 ? folio : nullptr;
    };
    u64 length = block_bytes;
    if (const Folio* folio = cached(block)) {
      std::memcpy(into.data(), folio->memory + (block % window_blocks) * block_bytes, block_bytes);
    } else {
      while (length < into.size() && cached(block + length / block_bytes) == nullptr) length += block_bytes;
      const Result<u64> read = co_await read_extent(block, into.first(length), held);
      if (read) {
        length = *read * block_bytes;
      } else {
        result = read.error();
      }
    }
    offset += length;
    into = into.subspan(length);
  }
  lock_.release_shared();
  --users_;
  co_return result;
}

// Precondition: nothing is dirty; the extents say it all.
Task<Result<u64>> FileData::seek(u64 offset, bool want_data) {
  u64 block = offset / block_bytes;
  btree::NodesHeld held;
  while (true) {
    btree::Cursor at = home_.slice.tree(TreeId::extents).seek_before({inode_, block, format::snapshot_live});
    bool in_data = false;
    u64 extent_end = 0;
    if (at.valid() && at.key().inode == inode_) {
      const Extent extent = format::decode_extent(at.value());
      extent_end = at.key().offset + extent.blocks;
      in_data = extent_end > block && extent.kind != ExtentKind::unwritten;
    }
    if (in_data && want_data) co_return std::max(offset, block * block_bytes);
    if (in_data) {
      held.release();
      block = extent_end;
      continue;
    }
    if (at.state() != btree::Cursor::State::missing) {
      if (!want_data) co_return std::max(offset, block * block_bytes);
      at = home_.slice.tree(TreeId::extents).seek({inode_, block + 1, 0});
    }
    if (at.state() == btree::Cursor::State::missing) {
      const Status loaded = co_await home_.slice.load({TreeId::extents, at.missing()}, held);
      if (!loaded) co_return loaded.error();
      continue;
    }
    if (!at.valid() || at.key().inode != inode_) co_return ~0ull;
    block = at.key().offset;
  }
}

}  // namespace cowfs::data
