// Journal entries, commit blocks and slice headers: the first byte says which. Sealed first, so that what lies behind
// the checksum is reached.
#include "engine/format/journal.h"

#include "engine/base/assert.h"
#include "engine/base/fuzz.h"
#include "engine/format/values.h"

namespace cowfs::fuzz {
namespace {

using format::CommitBlock;
using format::EntryHeader;

void try_entry(std::vector<std::byte> raw) {
  if (raw.size() < sizeof(EntryHeader)) raw.resize(sizeof(EntryHeader));
  auto header = front_of<EntryHeader>(raw);
  header.bytes = static_cast<u32>(raw.size());
  std::memcpy(raw.data(), &header, sizeof header);
  format::seal_entry(raw);
  header = front_of<EntryHeader>(raw);
  const format::EntryPointer pointer{header.address, header.epoch, format::seal_mark(header.checksum), header.bytes};
  if (!format::validate_entry(raw, header.filesystem, pointer).ok()) return;
  format::RecordReader reader(raw);
  format::Record record;
  u32 records = 0;
  while (reader.next(record)) {
    ++records;
    if (record.kind == format::UpdateKind::erase) continue;
    if (format::validate_value(record.tree, record.key, record.value).ok())
      assert(!format::to_text(record.tree, record.key, record.value).empty());
  }
  assert(records == header.records);
}

void try_commit(std::vector<std::byte> raw) {
  (void)format::validate_commit(raw, 0).ok();
  if (raw.size() < sizeof(CommitBlock)) raw.resize(sizeof(CommitBlock));
  auto block = front_of<CommitBlock>(raw);
  block.bytes = static_cast<u32>(sizeof block + block.streams % 64 * sizeof(format::EntryPointer));
  if (block.bytes > raw.size()) return;
  std::memcpy(raw.data(), &block, sizeof block);
  format::seal_commit(raw);
  if (format::validate_commit(raw, block.filesystem).ok()) assert(block.oldest_needed <= block.epoch + 1);
}

void try_slice_header(ByteSpan raw) {
  auto header = front_of<format::SliceHeader>(raw);
  (void)format::validate_slice_header(header, 0, 0).ok();
  format::seal_slice_header(header);
  if (!format::validate_slice_header(header, header.filesystem, static_cast<u16>(header.slice)).ok()) return;
  for (u8 tree = 0; tree < format::tree_count; ++tree) assert(header.levels[tree] <= format::node_level_max);
}

}  // namespace

void try_input(ByteSpan input) {
  if (input.empty()) return;
  const ByteSpan raw = input.subspan(1);
  switch (static_cast<u8>(input[0]) % 3) {
    case 0: return try_entry(copy_of(raw));
    case 1: return try_commit(copy_of(raw));
    default: return try_slice_header(raw);
  }
}

std::vector<std::vector<std::byte>> seeds() {
  std::vector<std::byte> entry{std::byte{0}};
  EntryHeader header{};
  header.address = 1000;
  header.epoch = 7;
  header.records = 2;
  header.checksum_kind = static_cast<u8>(ChecksumKind::crc32c);
  const auto extent = format::ExtentValue::data(format::Address{5000}, 7, 3, format::BlockChecksums{});
  const format::RecordHeader upsert{u16{0}, static_cast<u8>(format::TreeId::extents),
                                    static_cast<u8>(format::UpdateKind::upsert),
                                    static_cast<u16>(extent.bytes().size()), u16{0},
                                    format::PackedKey::of({9, 0, format::snapshot_live})};
  const format::RecordHeader erase{u16{0}, static_cast<u8>(format::TreeId::inodes),
                                   static_cast<u8>(format::UpdateKind::erase), u16{0}, u16{0},
                                   format::PackedKey::of({9, 0, format::snapshot_live})};
  for (const ByteSpan part : {bytes_of(header), bytes_of(upsert), extent.bytes(), bytes_of(erase)})
    entry.insert(entry.end(), part.begin(), part.end());

  std::vector<std::byte> commit{std::byte{1}};
  CommitBlock block{};
  block.epoch = 8;
  block.oldest_needed = 7;
  block.streams = 1;
  const format::EntryPointer tail{u64{1000}, u64{8}, u32{1}, u32{200}};
  for (const ByteSpan part : {bytes_of(block), bytes_of(tail)}) commit.insert(commit.end(), part.begin(), part.end());

  std::vector<std::byte> slice{std::byte{2}};
  format::SliceHeader slice_header{};
  slice_header.sequence = 3;
  slice_header.roots[0] = {u64{4000}, u64{7}, u32{1}, u32{4096}};
  const ByteSpan raw = bytes_of(slice_header);
  slice.insert(slice.end(), raw.begin(), raw.end());
  return {entry, commit, slice};
}

}  // namespace cowfs::fuzz
