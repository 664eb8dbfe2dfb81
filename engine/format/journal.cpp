#include "engine/format/journal.h"

#include "engine/format/seal.h"

namespace cowfs::format {
namespace {

template <typename T>
T read_front(ByteSpan raw) {
  T object;
  std::memcpy(&object, raw.data(), sizeof object);
  return object;
}

void store_checksum(MutableByteSpan sealed, u8 kind) {
  const le64 checksum = seal_checksum(sealed, kind);
  std::memcpy(sealed.data(), &checksum, sizeof checksum);
}

bool plausible_record(const RecordHeader& header) {
  if (header.tree >= tree_count || is_derived(static_cast<TreeId>(header.tree)) || header.reserved != 0) return false;
  if (header.kind == static_cast<u8>(UpdateKind::erase)) return header.value_bytes == 0;
  return header.kind == static_cast<u8>(UpdateKind::upsert) && header.value_bytes <= node_value_bytes_max;
}

// The record that is malformed; `count` when the records fill `rest` exactly.
u32 bad_record(ByteSpan rest, u32 count) {
  for (u32 i = 0; i < count; ++i) {
    if (rest.size() < sizeof(RecordHeader)) return i;
    const auto header = read_front<RecordHeader>(rest);
    if (!plausible_record(header)) return i;
    rest = rest.subspan(sizeof header);
    if (rest.size() < header.value_bytes) return i;
    rest = rest.subspan(header.value_bytes);
  }
  return rest.empty() ? count : ~0u;
}

bool plausible_root(const NodePointer& root, u8 level) {
  if (!root.present()) return level == 0;
  return level <= node_level_max && root.image_bytes >= sizeof(NodeHeader) && root.image_bytes <= node_bytes;
}

}  // namespace

Status validate_entry(ByteSpan raw, u64 filesystem, const EntryPointer& expected) {
  const Place place{.device = Address{expected.address}.device(),
                    .offset_bytes = Address{expected.address}.offset_bytes()};
  const u32 bytes = expected.bytes;
  if (bytes < sizeof(EntryHeader) || bytes > raw.size()) return Error{Code::journal_entry_layout_invalid, bytes, place};
  raw = raw.first(bytes);
  const auto header = read_front<EntryHeader>(raw);
  if (header.magic != entry_magic) return Error{Code::journal_entry_magic_mismatch, header.magic, place};
  if (!seal_holds(raw, header.checksum_kind)) return Error{Code::journal_entry_checksum_mismatch, header.checksum, place};
  if (header.filesystem != filesystem || header.address != expected.address || header.epoch != expected.epoch ||
      seal_mark(header.checksum) != expected.checksum || header.bytes != bytes)
    return Error{Code::journal_entry_pointer_mismatch, header.epoch, place};
  if (header.previous.address != 0 && (header.previous.epoch > header.epoch || header.sequence == 0))
    return Error{Code::journal_entry_layout_invalid, header.previous.epoch, place};
  if (header.epoch > epoch_max) return Error{Code::journal_entry_layout_invalid, header.epoch, place};
  const u32 record = bad_record(raw.subspan(sizeof header), header.records);
  if (record != header.records) return Error{Code::journal_entry_layout_invalid, record, place};
  return {};
}

Status validate_commit(ByteSpan raw, u64 filesystem) {
  if (raw.size() < sizeof(CommitBlock)) return Error{Code::commit_block_layout_invalid, raw.size()};
  const auto block = read_front<CommitBlock>(raw);
  if (block.magic != commit_magic) return Error{Code::commit_block_magic_mismatch, block.magic};
  const u32 streams = block.streams;
  if (streams > commit_streams_max || block.bytes != sizeof block + streams * sizeof(EntryPointer) ||
      block.bytes > raw.size())
    return Error{Code::commit_block_layout_invalid, block.bytes};
  if (!seal_holds(raw.first(block.bytes), block.checksum_kind))
    return Error{Code::commit_block_checksum_mismatch, block.checksum};
  if (block.filesystem != filesystem) return Error{Code::commit_block_identity_mismatch, block.filesystem};
  if (block.epoch == 0 || block.epoch > epoch_max) return Error{Code::commit_block_layout_invalid, block.epoch};
  if (block.oldest_needed > block.epoch + 1) return Error{Code::commit_block_layout_invalid, block.oldest_needed};
  if (block.previous >= block.epoch) return Error{Code::commit_block_layout_invalid, block.previous};
  for (u32 i = 0; i < streams; ++i) {
    const auto tail = read_front<EntryPointer>(raw.subspan(sizeof block + i * sizeof(EntryPointer)));
    if (tail.address == 0 || tail.epoch > block.epoch) return Error{Code::commit_block_layout_invalid, tail.epoch};
  }
  return {};
}

Status validate_slice_header(const SliceHeader& header, u64 filesystem, u16 slice) {
  const Place place{.slice = slice};
  if (header.magic != slice_header_magic) return Error{Code::slice_header_magic_mismatch, header.magic, place};
  if (!seal_holds(bytes_of(header), header.checksum_kind))
    return Error{Code::slice_header_checksum_mismatch, header.checksum, place};
  if (header.filesystem != filesystem || header.slice != slice)
    return Error{Code::slice_header_identity_mismatch, header.slice, place};
  if (header.checkpoint_epoch > header.publish_epoch || header.publish_epoch > epoch_max || header.sequence > epoch_max)
    return Error{Code::slice_header_layout_invalid, header.publish_epoch, place};
  for (u32 tree = 0; tree < std::size(header.roots); ++tree) {
    const bool known = tree < tree_count;
    if (!plausible_root(header.roots[tree], header.levels[tree]) || (!known && header.roots[tree].present()))
      return Error{Code::slice_header_layout_invalid, tree, place};
  }
  if ((header.space_buckets == 0) != (header.space_list_address == 0))
    return Error{Code::slice_header_layout_invalid, header.space_buckets, place};
  return {};
}

bool is_superseded(const SliceHeader& damaged, const SliceHeader& valid) {
  const bool never_written = damaged.magic == 0 && damaged.sequence == 0 && valid.sequence == 1;
  const bool known = damaged.magic == valid.magic && damaged.filesystem == valid.filesystem && damaged.slice == valid.slice;
  return never_written || (known && damaged.sequence < valid.sequence && damaged.checkpoint_epoch < valid.checkpoint_epoch);
}

void seal_entry(MutableByteSpan raw) {
  const le32 magic = entry_magic;
  std::memcpy(raw.data() + offsetof(EntryHeader, magic), &magic, sizeof magic);
  store_checksum(raw, read_front<EntryHeader>(raw).checksum_kind);
}

void seal_commit(MutableByteSpan raw) {
  const le32 magic = commit_magic;
  std::memcpy(raw.data() + offsetof(CommitBlock, magic), &magic, sizeof magic);
  const auto block = read_front<CommitBlock>(raw);
  store_checksum(raw.first(block.bytes), block.checksum_kind);
}

void seal_slice_header(SliceHeader& header) {
  header.magic = slice_header_magic;
  header.checksum = seal_checksum(bytes_of(header), header.checksum_kind);
}

RecordReader::RecordReader(ByteSpan entry) : rest_(entry.subspan(std::min(entry.size(), sizeof(EntryHeader)))) {}

bool RecordReader::next(Record& record) {
  if (rest_.empty()) return false;
  const auto header = read_front<RecordHeader>(rest_);
  record.slice = header.slice;
  record.tree = static_cast<TreeId>(header.tree);
  record.kind = static_cast<UpdateKind>(header.kind);
  record.key = header.key.key();
  record.value = rest_.subspan(sizeof header, header.value_bytes);
  rest_ = rest_.subspan(sizeof header + header.value_bytes);
  return true;
}

}  // namespace cowfs::format
