#include "engine/data/copygc.h"

#include <algorithm>
#include <array>

#include "engine/base/points.h"
#include "engine/codec/checksum.h"
#include "engine/data/extent_edit.h"
#include "engine/device/copies.h"
#include "engine/slice/extent_ahead.h"

namespace cowfs::data {

using format::Address;
using format::Extent;
using format::ExtentKind;
using format::ExtentValue;
using format::Key;
using format::TreeId;
using format::UpdateKind;

// What one leaves unfinished, since all buckets are full of what others moved, would be in vain.
bool CopyGc::may_begin() const {
  const std::size_t wanted = home_.slice.kept_back(Watermark::copygc) + slice::buckets_for_copygc + running_;
  return running_ == 0 || home_.slice.buckets().empty_count() >= wanted;
}

Task<Result<bool>> CopyGc::clean_one(Need need) {
  while (!may_begin()) co_await ended_.wait();
  const auto victim = home_.slice.buckets().choose_victim(home_.slice.stream().current(), need == Need::now);
  if (!victim) co_return false;
  const Status cleaned = co_await evacuate(*victim);
  if (!cleaned && error_class(cleaned.error().code) != ErrorClass::corrupt) co_return cleaned.error();
  co_return true;
}

Task<Result<bool>> CopyGc::clean_beyond() {
  while (!may_begin()) co_await ended_.wait();
  const auto victim = home_.slice.buckets().choose_beyond();
  if (!victim) co_return false;
  const Status cleaned = co_await evacuate(*victim);
  if (!cleaned) co_return cleaned.error();
  co_return true;
}

Task<Status> CopyGc::evacuate(format::BucketId victim) {
  ++running_;
  const Status evacuated = co_await move_all(victim);
  --running_;
  ended_.wake_all();
  co_return evacuated;
}

Task<Status> CopyGc::move_all(format::BucketId victim) {
  space::BucketTable& buckets = home_.slice.buckets();
  const u32 live_before = buckets.find(victim)->live_blocks;
  u64 moved_blocks = 0;
  std::vector<Move> moves;
  Status result = co_await find_moves(victim, moves);
  if (result) result = co_await copy(moves, moved_blocks);
  // A bucket with a damaged block, or with live blocks that no extent names, stays marked: trying it again and again would
  // bring nothing.
  const bool damaged = !result && error_class(result.error().code) == ErrorClass::corrupt;
  const space::Bucket* after = buckets.find(victim);
  const bool in_vain = result && moved_blocks == 0 && after != nullptr && after->pins == 0 && after->live_blocks == live_before;
  if (!damaged && !in_vain) buckets.evacuation_ended(victim);
  if (result || damaged) ++counters_.buckets;
  co_return result;
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

namespace {

constexpr u64 blocks_read_at_once_max = 512;

// The first of them that are not too many blocks to be read at once.
std::span<CopyGc::Move> first_of(std::span<CopyGc::Move> moves) {
  u64 blocks = 0;
  std::size_t count = 0;
  while (count < moves.size() && blocks < blocks_read_at_once_max) blocks += moves[count++].blocks;
  return moves.first(count);
}

bool has_checksums(ByteSpan data, const format::BlockChecksums& checksums) {
  const std::size_t blocks = data.size() / block_bytes;
  return codec::first_wrong_block(checksums.kind, data.data(), blocks, checksums.of(0)) == blocks;
}

}  // namespace

Task<Status> CopyGc::copy(std::span<Move> moves, u64& moved_blocks) {
  std::vector<Move> copied;
  Status result;
  home_.moved.gather();
  while (result && !moves.empty()) {
    const std::span<Move> some = first_of(moves);
    moves = moves.subspan(some.size());
    result = co_await copy_some(some, copied);
  }
  home_.moved.let_go();
  const Status applied = co_await apply(copied, moved_blocks);
  co_return result ? applied : result;
}

// Their keys lie all over the tree.
void CopyGc::go_ahead(std::span<const Move> moves) const {
  constexpr std::size_t at_once = 16;
  std::array<slice::ExtentAhead, at_once> aheads;
  for (std::size_t first = 0; first < moves.size(); first += at_once) {
    const std::span<const Move> some = moves.subspan(first, std::min(at_once, moves.size() - first));
    for (u32 step = 0; step < slice::ExtentAhead::steps; ++step)
      for (std::size_t i = 0; i < some.size(); ++i) aheads[i].take(step, home_.slice, some[i].key);
  }
}

Task<Status> CopyGc::copy_some(std::span<Move> moves, std::vector<Move>& copied) {
  go_ahead(moves);
  const space::BucketPin pin = home_.slice.buckets().pin(moves.front().from);
  std::vector<const Move*> there;
  std::vector<LiveBlocks> live;
  for (Move& move : moves) {
    const Result<bool> found = co_await still_there(move);
    if (!found) co_return found.error();
    if (!*found) {
      ++counters_.lost_races;
      continue;
    }
    there.push_back(&move);
    live.push_back({move.from, move.blocks});
  }
  BucketReads reads(home_.slice.devices()[moves.front().from.device()]);
  co_await reads.read(live);
  for (const Move* move : there) {
    const Status one = co_await copy_one(*move, reads, copied);
    if (!one) co_return one;
  }
  co_return Status{};
}

// With one copy, blocks are checked as they are copied. A request that failed may have failed for what lies beside.
Task<Status> CopyGc::verified(const Move& move, BucketReads::Answer read) {
  device::Device& device = home_.slice.devices()[move.from.device()];
  const auto check = [&move](u64 index, ByteSpan block) -> Status {
    if (codec::is_block(move.checksums.kind, block, move.checksums.of(static_cast<u32>(index)))) return {};
    return Error{Code::extent_damaged_in_place, move.key.inode};
  };
  const u64 offset = move.from.offset_bytes();
  if (!read.result) read.result = co_await device.read(offset, read.bytes);
  const bool is_right = device.copies() == 1 || has_checksums(read.bytes, move.checksums);
  if (read.result && is_right) co_return Status{};
  const Error wrong = read.result ? Error{Code::extent_damaged_in_place, move.key.inode} : read.result.error();
  co_return co_await device::read_blocks_of_other_copies(device, offset, read.bytes, check, wrong);
}

// Places one extent, in as many pieces as the write point gives.
Task<Status> CopyGc::copy_one(const Move& move, BucketReads& reads, std::vector<Move>& copied) {
  const BucketReads::Answer read = reads.ask({move.from, move.blocks});
  const Status good = co_await verified(move, read);
  if (!good) co_return good;
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
    codec::copy_blocks(piece.checksums.kind, piece.to.staging, read.bytes.data() + done * block_bytes, piece.blocks,
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

Task<Status> CopyGc::apply(std::vector<Move>& copied, u64& moved_blocks) {
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
        moved_blocks += move.blocks;
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
