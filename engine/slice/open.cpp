// Opening a slice: its newest checkpoint, then history since. Replay applies records through the same change() as live
// operations; what is different is only that buckets may be borrowed (see borrow below) and that nothing is journalled.
#include <algorithm>

#include "engine/codec/crc32c.h"
#include "engine/device/aligned_buffer.h"
#include "engine/slice/slice.h"

namespace cowfs::slice {

using device::AlignedBuffer;
using format::BucketId;

u64 Slice::header_offset_bytes(u64 sequence) const {
  return (superblock_.slice_headers_block + id_ * 2ull + sequence % 2) * block_bytes;
}

Task<Status> Slice::read_header() {
  bool found = false;
  Status problem = Error{Code::slice_header_missing, id_, Place{.device = 0, .slice = id_}};
  AlignedBuffer raw(block_bytes);
  for (u64 place = 0; place < 2; ++place) {
    const Status read = co_await devices_[0].read(header_offset_bytes(place), raw.span());
    if (!read) {
      problem = read;
      continue;
    }
    format::SliceHeader header;
    std::memcpy(&header, raw.data(), sizeof header);
    const Status valid = format::validate_slice_header(header, format::filesystem_id(superblock_), id_);
    if (!valid) {
      problem = valid;
      continue;
    }
    if (!found || header.sequence > header_.sequence) header_ = header;
    found = true;
  }
  if (!found) co_return problem;
  for (u8 id = 0; id < format::tree_count; ++id) trees_[id]->open({header_.roots[id], header_.levels[id]});
  next_inode_ = header_.next_inode;
  inode_count_ = header_.inodes;
  co_return Status{};
}

// Reads every leaf of the alloc tree, which stays: buckets are known, and a checkpoint can update it without awaiting.
Task<Status> Slice::load_resident_trees() {
  Key from = format::key_min;
  while (true) {
    btree::Cursor cursor = tree(TreeId::alloc).seek(from);
    while (cursor.valid()) cursor.next();
    if (cursor.state() == btree::Cursor::State::end) co_return Status{};
    from = cursor.resume_key();
    const Status loaded = co_await load({TreeId::alloc, cursor.missing()});
    if (!loaded) co_return loaded;
  }
}

Task<Status> Slice::restore_space(std::vector<BucketId> leased) {
  for (BucketId id : leased) buckets_.adopt(id);

  const u64 count = header_.space_buckets;
  if (count > 0) {
    AlignedBuffer raw(count * sizeof(format::MetadataBucket));
    const format::Address place{header_.space_list_address};
    const format::NodePointer pointer{place.value, 0, 0, static_cast<u32>(raw.size())};
    const Status read = co_await metadata_.read(pointer, raw.span());
    if (!read) co_return read;
    std::vector<format::MetadataBucket> list(count);
    std::memcpy(list.data(), raw.data(), count * sizeof(format::MetadataBucket));
    if (codec::crc32c({raw.data(), count * sizeof(format::MetadataBucket)}) != header_.space_list_checksum) {
      co_return Error{Code::space_list_checksum_mismatch, id_,
                      Place{.device = place.device(), .slice = id_, .offset_bytes = place.offset_bytes()}};
    }
    for (const format::MetadataBucket& entry : list) {
      const BucketId id{entry.bucket};
      if (buckets_.find(id) == nullptr) borrowed_.push_back(id), buckets_.adopt(id);
      const bool sound = entry.filled_blocks <= bucket_blocks() && entry.live_blocks <= entry.filled_blocks &&
                         buckets_.find(id)->state == space::BucketState::empty;
      if (!sound) co_return Error{Code::space_list_entry_invalid, id.value, Place{.slice = id_}};
    }
    if (Status restored = metadata_.restore(list); !restored) co_return restored;
  }

  btree::Cursor cursor = tree(TreeId::alloc).seek(format::key_min);
  for (; cursor.valid(); cursor.next()) {
    const BucketId id{cursor.key().inode};
    format::AllocValue value;
    std::memcpy(&value, cursor.value().data(), sizeof value);
    const bool sane = id.device() < devices_.size() && value.live_blocks > 0 && value.live_blocks <= bucket_blocks();
    if (!sane) co_return Error{Code::alloc_entry_invalid, id.value, Place{.slice = id_}};
    if (buckets_.find(id) == nullptr) borrowed_.push_back(id), buckets_.adopt(id);
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
Task<Status> Slice::replay(Epoch epoch, format::Record record) {
  assert(record.slice == id_);
  if (epoch <= Epoch{header_.checkpoint_epoch}) co_return Status{};
  const Update update{record.tree, record.kind, record.key, record.value};
  if (format::is_derived(record.tree)) co_return Error{Code::journal_record_invalid, id_, Place{.slice = id_}};
  first_logged_ = std::min(first_logged_, epoch);
  replay_epoch_ = epoch;

  if (update.tree == TreeId::inodes && update.kind == UpdateKind::upsert) {
    next_inode_ = std::max<u64>(next_inode_, (update.key.inode & ((1ull << 48) - 1)) + 1);
  }
  Missing missing;
  while (!ready(update, missing)) {
    const Status loaded = co_await load(missing);
    if (!loaded) co_return loaded;
    missing = {};
  }
  if (update.tree == TreeId::extents && update.kind == UpdateKind::upsert) {
    const format::Extent extent = format::decode_extent(update.value);
    if (extent.kind == format::ExtentKind::data) {
      const BucketId id = format::bucket_of(extent.address, bucket_blocks());
      if (buckets_.find(id) == nullptr) borrowed_.push_back(id), buckets_.adopt(id);
      const Status sound = buckets_.check_pointer(extent.address, extent.blocks, extent.generation);
      if (!sound) co_return sound;
    }
  }
  change(update);
  co_return Status{};
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
