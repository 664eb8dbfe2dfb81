#include "engine/data/copygc.h"

#include <algorithm>

#include "engine/base/points.h"
#include "engine/codec/checksum.h"
#include "engine/data/extent_edit.h"
#include "engine/device/aligned_buffer.h"
#include "engine/device/copies.h"

namespace cowfs::data {

using format::Address;
using format::Extent;
using format::ExtentKind;
using format::ExtentValue;
using format::Key;
using format::TreeId;
using format::UpdateKind;

Task<Result<bool>> CopyGc::clean_one(Need need) {
  co_await lock_.acquire();
  const runtime::MutexHold hold(lock_);
  space::BucketTable& buckets = home_.slice.buckets();
  const auto victim = buckets.choose_victim(home_.slice.stream().current(), need == Need::now);
  if (!victim) co_return false;

  const u32 live_before = buckets.find(*victim)->live_blocks;
  const u64 moved_before = counters_.moved_blocks;
  std::vector<Move> moves;
  Status result = co_await find_moves(*victim, moves);
  if (result) result = co_await copy(moves);
  // A bucket with a damaged block, or with live blocks that no extent names, stays marked: trying it again and again would
  // bring nothing.
  const bool damaged = !result && error_class(result.error().code) == ErrorClass::corrupt;
  const space::Bucket* after = buckets.find(*victim);
  const bool in_vain = result && counters_.moved_blocks == moved_before && after != nullptr && after->pins == 0 &&
                       after->live_blocks == live_before;
  if (!damaged && !in_vain) buckets.evacuation_ended(*victim);
  if (!result && !damaged) co_return result.error();
  ++counters_.buckets;
  co_return true;
}

Task<Status> CopyGc::find_moves(format::BucketId bucket, std::vector<Move>& moves) {
  Key from{bucket.value, 0, 0};
  btree::NodesHeld held;  // `from` may lie behind the last key of one leaf, and what follows in the next
  while (true) {
    btree::Cursor at = home_.slice.tree(TreeId::backpointers).seek(from);
    for (; at.valid() && at.key().inode == bucket.value && at.key().offset < home_.slice.bucket_blocks(); at.next()) {
      format::BackpointerValue back;
      std::memcpy(&back, at.value().data(), sizeof back);
      Move& move = moves.emplace_back();
      move.key = {back.inode, back.offset(), format::snapshot_live};
      move.from = format::first_block(bucket, home_.slice.bucket_blocks()).plus(at.key().offset);
      move.blocks = back.blocks();
      from = {bucket.value, at.key().offset + 1, 0};
    }
    if (at.state() != btree::Cursor::State::missing) co_return Status{};
    const Status loaded = co_await home_.slice.load({TreeId::backpointers, at.missing()}, held);
    if (!loaded) co_return loaded;
  }
}

Task<Result<bool>> CopyGc::still_there(Move& move) {
  while (true) {
    const btree::Lookup found = home_.slice.tree(TreeId::extents).find(move.key);
    if (found.state == btree::Lookup::State::missing) {
      btree::NodesHeld held;
      const Status loaded = co_await home_.slice.load({TreeId::extents, found.missing}, held);
      if (!loaded) co_return loaded.error();
      continue;
    }
    if (found.state == btree::Lookup::State::absent) co_return false;
    const Extent extent = format::decode_extent(found.value);
    if (extent.kind != ExtentKind::data || extent.address != move.from || extent.blocks != move.blocks) co_return false;
    if (!home_.slice.buckets().check_live(move.from, move.blocks, extent.generation)) co_return false;
    move.generation = extent.generation;
    move.checksums.take(extent, 0, extent.blocks);
    co_return true;
  }
}

Task<Status> CopyGc::copy(std::vector<Move>& moves) {
  std::vector<Move> copied;
  Status result;
  home_.moved.gather();
  for (Move& move : moves) {
    const Result<bool> there = co_await still_there(move);
    if (!there) {
      result = there.error();
      break;
    }
    if (!*there) {
      ++counters_.lost_races;
      continue;
    }
    const Status one = co_await copy_one(std::move(move), copied);
    if (!one) {
      result = one;
      break;
    }
  }
  home_.moved.let_go();
  const Status applied = co_await apply(copied);
  co_return result ? applied : result;
}

namespace {

bool has_checksums(ByteSpan data, const format::BlockChecksums& checksums) {
  const std::size_t blocks = data.size() / block_bytes;
  return codec::first_wrong_block(checksums.kind, data.data(), blocks, checksums.of(0)) == blocks;
}

}  // namespace

// Reads, verifies and places one extent, in as many pieces as the write point gives.
Task<Status> CopyGc::copy_one(Move move, std::vector<Move>& copied) {
  device::AlignedBuffer data(move.blocks * block_bytes);
  const space::BucketPin pin = home_.slice.buckets().pin(move.from);
  device::Device& device = home_.slice.devices()[move.from.device()];
  const auto check = [&move](u64 index, ByteSpan block) -> Status {
    if (codec::is_block(move.checksums.kind, block, move.checksums.of(static_cast<u32>(index)))) return {};
    return Error{Code::extent_damaged_in_place, move.key.inode};
  };
  const u64 offset = move.from.offset_bytes();
  Status read = co_await device.read(offset, data.span());
  // With one copy, they are checked as they are copied.
  const bool is_right = device.copies() == 1 || has_checksums(data.span(), move.checksums);
  const Error wrong = read ? Error{Code::extent_damaged_in_place, move.key.inode} : read.error();
  if (!read || !is_right) read = co_await device::read_blocks_of_other_copies(device, offset, data.span(), check, wrong);
  if (!read) co_return read;
  for (u32 done = 0; done < move.blocks;) {
    Result<Placement> placed = co_await home_.moved.place(move.blocks - done);
    if (!placed) co_return placed.error();
    Move& piece = copied.emplace_back();
    piece.key = {move.key.inode, move.key.offset + done, move.key.snapshot};
    piece.from = move.from.plus(done);
    piece.generation = move.generation;
    piece.blocks = placed->blocks;
    piece.to = std::move(*placed);
    piece.checksums.kind = move.checksums.kind;
    codec::copy_blocks(piece.checksums.kind, piece.to.staging, data.data() + done * block_bytes, piece.blocks,
                       piece.checksums.of(0));
    for (u32 i = 0; i < piece.blocks; ++i) {
      if (std::equal(piece.checksums.of(i), piece.checksums.of(i + 1), move.checksums.of(done + i))) continue;
      copied.pop_back();
      co_return Error{Code::extent_damaged_in_place, move.key.inode,
                      Place{.device = move.from.device(),
                            .slice = home_.slice.id(),
                            .offset_bytes = move.from.plus(done + i).offset_bytes()}};
    }
    done += piece.blocks;
  }
  co_return Status{};
}

Task<Status> CopyGc::apply(std::vector<Move>& copied) {
  journal::Stream& stream = home_.slice.stream();
  Status result;
  for (Move& move : copied) {
    const Status written = co_await WritePoint::written(move.to.batch);
    if (!written) result = written;
  }
  for (Move& move : copied) {
    if (!result) break;
    ExtentPlan plan;
    slice::Missing missing;
    btree::NodesHeld held;
    while (true) {
      plan.clear();
      missing = {};
      // Only what still lies where it was copied from may be replaced.
      const btree::Cursor at = home_.slice.tree(TreeId::extents).seek_before(move.key);
      bool resident = at.state() != btree::Cursor::State::missing;
      if (!resident) missing = {TreeId::extents, at.missing()};
      bool same = false;
      if (resident && at.valid() && at.key().inode == move.key.inode) {
        const Extent extent = format::decode_extent(at.value());
        const u64 skipped = move.key.offset - at.key().offset;
        same = extent.kind == ExtentKind::data && extent.address.plus(skipped) == move.from &&
               extent.generation == move.generation && skipped + move.blocks <= extent.blocks;
      }
      if (resident && !same) {
        reached(Point::move_overtaken);
        ++counters_.lost_races;
        break;
      }
      const ExtentValue value = ExtentValue::data(move.to.address, move.to.generation, move.blocks, move.checksums);
      const ExtentRange range{move.key.inode, move.key.offset, move.key.offset + move.blocks};
      resident = resident && plan_extents(home_.slice, range, &value, ~0ull, plan, missing) &&
                 ready(home_.slice, plan, missing, slice::Room::kept);
      if (resident && stream.try_reserve(plan.journal_bytes, journal::Urgency::reclaim)) {
        data::apply(home_.slice, plan);
        counters_.moved_blocks += move.blocks;
        reached(Point::extent_moved);
        break;
      }
      result = co_await home_.slice.wait_to_apply(resident, missing, held, plan.journal_bytes, journal::Urgency::reclaim);
      if (!result) break;
    }
    move.to.pin.release();
  }
  co_return result;
}

}  // namespace cowfs::data
