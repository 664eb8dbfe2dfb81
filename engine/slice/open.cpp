// Opening a slice: its newest checkpoint, then history since. Replay applies records through the same change() as live
// operations; what is different is only that buckets may be borrowed (see borrow below) and that nothing is journalled.
#include <algorithm>

#include "engine/base/points.h"
#include "engine/codec/checksum.h"
#include "engine/device/aligned_buffer.h"
#include "engine/slice/slice.h"

namespace cowfs::slice {

using device::AlignedBuffer;
using format::BucketId;

u64 Slice::header_offset_bytes(u64 sequence) const {
  return (superblock_.slice_headers_block + id_ * 2ull + sequence % 2) * block_bytes;
}

namespace {

// No filesystem comes near it, and adding to it does not change the slice.
constexpr u64 inode_counter_max = 1ull << 47;

}  // namespace

// The newest of a place's copies; those that differ become like it. A header from the future counts in none.
Task<Status> Slice::read_header_place(u64 place, Epoch last, format::SliceHeader& header, bool& prepared) {
  device::Device& device = devices_[0];
  Status best = Error{Code::slice_header_missing, id_};
  std::vector<bool> same(device.copies() + 1u);
  AlignedBuffer raw(block_bytes);
  for (u8 copy = 1; copy <= device.copies(); ++copy) {
    Status state = co_await device.read(header_offset_bytes(place), raw.span(), copy);
    if (!state) std::memset(raw.data(), 0, raw.size());
    format::SliceHeader one;
    std::memcpy(&one, raw.data(), sizeof one);
    if (state) state = format::validate_slice_header(one, format::filesystem_id(superblock_), id_);
    if (state && one.checkpoint_epoch > last.value) {
      prepared = one.publish_epoch == one.checkpoint_epoch;
      from_future_ = true;
      state = Error{Code::slice_header_from_future, one.checkpoint_epoch, Place{.device = 0, .slice = id_}};
    }
    const bool is_same = best && state && std::memcmp(&one, &header, sizeof one) == 0;
    const bool is_better = state && (!best || one.sequence > header.sequence);
    if (copy == 1 || is_better) best = state, header = one;
    if (is_better) same.assign(same.size(), false);
    same[copy] = is_better || is_same;
  }
  std::memcpy(raw.data(), &header, sizeof header);
  for (u8 copy = 1; copy <= device.copies() && best && device.may_heal(); ++copy)
    if (!same[copy]) (void)co_await device.write(header_offset_bytes(place), raw.span(), false, copy);
  co_return best;
}

Task<Status> Slice::read_header(Epoch oldest_needed, Epoch last) {
  std::array<format::SliceHeader, 2> headers{};
  std::array<Status, 2> states;
  bool prepared = false;  // one of them is of a repair that was cut off before its commit
  for (u64 place = 0; place < 2; ++place) states[place] = co_await read_header_place(place, last, headers[place], prepared);
  if (!states[0] && !states[1]) co_return Error{Code::slice_header_missing, id_, Place{.device = 0, .slice = id_}};
  const u64 best = !states[0] || (states[1] && headers[1].sequence > headers[0].sequence) ? 1 : 0;
  header_ = headers[best];
  const bool whole = prepared || states[1 - best] || format::is_superseded(headers[1 - best], header_);
  if (!whole && oldest_needed.value > header_.checkpoint_epoch + 1) {
    co_return Error{Code::slice_header_outdated, id_,
                    Place{.device = 0, .slice = id_, .offset_bytes = header_offset_bytes(1 - best)}};
  }
  for (u8 id = 0; id < format::tree_count; ++id) trees_[id]->open({header_.roots[id], header_.levels[id]});
  next_inode_ = header_.next_inode;
  inode_count_ = header_.inodes;
  co_return Status{};
}

// Otherwise it would count when epochs have come so far.
Task<Status> Slice::retire_header_from_future() {
  if (!std::exchange(from_future_, false)) co_return Status{};
  AlignedBuffer raw(block_bytes);
  format::SliceHeader header = header_;
  header.sequence = header.sequence - 1;
  format::seal_slice_header(header);
  std::memcpy(raw.data(), &header, sizeof header);
  co_return co_await devices_[0].write(header_offset_bytes(header.sequence), raw.span(), true);
}

// Reads every leaf of the alloc tree, which stays: buckets are known, and a checkpoint can update it without awaiting.
Task<Status> Slice::load_resident_trees() {
  Key from = format::key_min;
  while (true) {
    btree::Cursor cursor = tree(TreeId::alloc).seek(from);
    while (cursor.valid()) cursor.next();
    if (cursor.state() == btree::Cursor::State::end) break;
    from = cursor.resume_key();
    btree::NodesHeld held;
    const Status loaded = co_await load({TreeId::alloc, cursor.missing()}, held);
    if (!loaded) co_return loaded;
  }
  co_return co_await check_next_inode();
}

// The number that comes next was never given out.
Task<Status> Slice::check_next_inode() {
  btree::NodesHeld held;
  while (true) {
    const btree::Cursor newest = tree(TreeId::inodes).seek_before(format::key_max);
    if (newest.state() == btree::Cursor::State::missing) {
      const Status loaded = co_await load({TreeId::inodes, newest.missing()}, held);
      if (!loaded) co_return loaded;
      continue;
    }
    const bool given = newest.valid() && newest.key().inode >= format::inode_number(id_, next_inode_);
    if (given || next_inode_ == 0 || next_inode_ > inode_counter_max) {
      co_return Error{Code::slice_header_inode_given, next_inode_, Place{.device = 0, .slice = id_}};
    }
    co_return Status{};
  }
}

Task<Status> Slice::restore_space(std::vector<BucketId> leased) {
  for (BucketId id : leased) buckets_.adopt(id);

  const u64 count = header_.space_buckets;
  if (count > superblock_.bucket_count) {
    co_return Error{Code::space_list_entry_invalid, count, Place{.slice = id_}};
  }
  if (count > 0) {
    AlignedBuffer raw(count * sizeof(format::MetadataBucket));
    const format::Address place{header_.space_list_address};
    const format::NodePointer pointer{place.value, 0, 0, static_cast<u32>(raw.size())};
    const auto check = [this, place, count](ByteSpan list) -> Status {
      const auto kind = static_cast<ChecksumKind>(header_.checksum_kind);
      const ByteSpan sealed = list.first(count * sizeof(format::MetadataBucket));
      if (codec::checksum(kind, sealed) == header_.space_list_checksum) return {};
      return Error{Code::space_list_checksum_mismatch, id_,
                   Place{.device = place.device(), .slice = id_, .offset_bytes = place.offset_bytes()}};
    };
    Status read = co_await metadata_.read(pointer, raw.span());
    if (read) read = check(raw.span());
    if (!read) read = co_await metadata_.read_other_copies(pointer, raw.span(), check, read.error());
    if (!read) co_return read;
    std::vector<format::MetadataBucket> list(count);
    std::memcpy(list.data(), raw.data(), count * sizeof(format::MetadataBucket));
    for (const format::MetadataBucket& entry : list) {
      const BucketId id{entry.bucket};
      if (buckets_.find(id) == nullptr) borrow(id);
      const bool sound = entry.filled_blocks <= bucket_blocks() && entry.live_blocks <= entry.filled_blocks &&
                         buckets_.find(id)->state == space::BucketState::empty;
      if (!sound) co_return Error{Code::space_list_entry_invalid, id.value, Place{.slice = id_}};
    }
    if (Status restored = metadata_.restore(list); !restored) co_return restored;
    space_list_ = {place, pointer.blocks()};
  }

  btree::Cursor cursor = tree(TreeId::alloc).seek(format::key_min);
  for (; cursor.valid(); cursor.next()) {
    const BucketId id{cursor.key().inode};
    format::AllocValue value;
    std::memcpy(&value, cursor.value().data(), sizeof value);
    const bool sane = id.device() < devices_.size() && value.live_blocks > 0 && value.live_blocks <= bucket_blocks();
    if (!sane) co_return Error{Code::alloc_entry_invalid, id.value, Place{.slice = id_}};
    if (buckets_.find(id) == nullptr) borrow(id);
    if (buckets_.find(id)->state != space::BucketState::empty) {
      co_return Error{Code::alloc_entry_invalid, id.value, Place{.slice = id_}};
    }
    if (Status restored = buckets_.restore(id, value); !restored) co_return restored;
  }
  replaying_ = true;
  co_return Status{};
}

// A bucket may have changed hands during the history that is replayed: this slice used it, emptied it and gave it back
// before the crash. It is borrowed until end_replay, when nothing may be left in it.
void Slice::borrow(BucketId id) {
  reached(Point::bucket_borrowed);
  borrowed_.push_back(id);
  buckets_.adopt(id);
}

Task<Status> Slice::replay(Epoch epoch, format::Record record) {
  assert(record.slice == id_);
  if (epoch <= Epoch{header_.checkpoint_epoch}) co_return Status{};
  const Update update{record.tree, record.kind, record.key, record.value};
  const bool ours = !format::is_derived(record.tree) && format::belongs_to(id_, record.tree, record.key);
  if (!ours)
    co_return Error{Code::journal_record_invalid, id_, Place{.slice = id_, .tree = static_cast<u32>(record.tree)}};
  if (update.kind == UpdateKind::upsert) {
    if (const Status valid = format::validate_value(update.tree, update.key, update.value); !valid) {
      Error error = valid.error();
      error.place.slice = id_;
      co_return error;
    }
  }
  first_logged_ = std::min(first_logged_, epoch);
  replay_epoch_ = epoch;

  if (update.tree == TreeId::inodes && update.kind == UpdateKind::upsert) {
    next_inode_ = std::max<u64>(next_inode_, (update.key.inode & ((1ull << 48) - 1)) + 1);
  }
  btree::NodesHeld held;
  Missing missing;
  while (!ready(update, missing)) {
    const Status loaded = co_await load(missing, held);
    if (!loaded) co_return loaded;
    missing = {};
  }
  if (update.tree == TreeId::extents) {
    const Status sound = check_replayed_extent(update);
    if (!sound) co_return sound;
  }
  change(update);
  co_return Status{};
}

// What the triggers rely on: the extent that goes is counted in its bucket, and the one that comes fits into its own.
Status Slice::check_replayed_extent(const Update& update) {
  const btree::Lookup old = tree(TreeId::extents).find(update.key);
  format::Extent leaving;
  BucketId left;
  if (old.state == btree::Lookup::State::found) leaving = format::decode_extent(old.value);
  if (leaving.kind == format::ExtentKind::data && leaving.blocks > 0) {
    left = format::bucket_of(leaving.address, bucket_blocks());
    const space::Bucket* bucket = buckets_.find(left);
    if (bucket == nullptr || bucket->live_blocks < leaving.blocks) {
      return Error{Code::alloc_pointer_invalid, leaving.address.value,
                   Place{.device = leaving.address.device(), .slice = id_, .offset_bytes = leaving.address.offset_bytes()}};
    }
  }
  if (update.kind == UpdateKind::erase) return {};
  const format::Extent coming = format::decode_extent(update.value);
  if (coming.kind != format::ExtentKind::data) return {};
  const BucketId id = format::bucket_of(coming.address, bucket_blocks());
  if (buckets_.find(id) == nullptr) borrow(id);
  return buckets_.check_pointer(coming.address, coming.blocks, coming.generation, id == left ? leaving.blocks : 0);
}

Status Slice::end_replay(Epoch last) {
  buckets_.epoch_durable(last);
  replaying_ = false;
  for (BucketId id : borrowed_) {
    const space::Bucket* bucket = buckets_.find(id);
    if (bucket->state != space::BucketState::empty) {
      return Error{Code::alloc_bucket_not_leased, id.value, Place{.slice = id_}};
    }
  }
  buckets_.opened(borrowed_);
  borrowed_.clear();
  return {};
}

}  // namespace cowfs::slice
