#include "engine/repair/metadata_editor.h"

#include <algorithm>

#include "engine/format/seal.h"

namespace cowfs::repair {

using format::Address;
using format::CommitBlock;
using format::EntryHeader;
using format::EntryPointer;
using format::NodeHeader;
using format::SliceHeader;
using format::Slot;
using format::TreeId;

RawBytes read(const Medium& medium, u64 offset, u64 bytes) {
  RawBytes raw(bytes);
  medium.read(offset, raw);
  return raw;
}

u64 slot_count(ByteSpan node) {
  const u64 room = (node.size() - std::min(node.size(), sizeof(NodeHeader))) / sizeof(Slot);
  return std::min<u64>(read_as<NodeHeader>(node, 0).count, room);
}

MetadataEditor::MetadataEditor(const Medium& medium, const format::Superblock& superblock, journal::History history)
    : superblock_(superblock), history_(std::move(history)) {
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    const u64 places = (superblock_.slice_headers_block + slice * 2ull) * block_bytes;
    const auto first = read_as<SliceHeader>(read(medium, places, block_bytes), 0);
    const auto second = read_as<SliceHeader>(read(medium, places + block_bytes, block_bytes), 0);
    header_offsets_.push_back(first.sequence > second.sequence ? places : places + block_bytes);
    const SliceHeader newest = header(medium, slice);
    space_list_offsets_.push_back(Address{newest.space_list_address}.offset_bytes());
    space_list_bytes_.push_back(newest.space_buckets * sizeof(format::MetadataBucket));
    for (u8 tree = 0; tree < format::tree_count; ++tree) {
      const format::NodePointer root = newest.roots[tree];
      if (root.present()) find_nodes(medium, slice, static_cast<TreeId>(tree), newest.levels[tree], root, none);
    }
  }
}

void MetadataEditor::find_nodes(const Medium& medium, u16 slice, TreeId tree, u8 level, format::NodePointer pointer,
                                std::size_t parent) {
  const std::size_t index = nodes_.size();
  nodes_.push_back({slice, tree, level, pointer, parent});
  if (level == 0) return;
  const RawBytes bytes = node(medium, index);
  for (u64 i = 0; i < slot_count(bytes); ++i) {
    const auto slot = read_as<Slot>(bytes, slot_offset(i));
    find_nodes(medium, slice, tree, static_cast<u8>(level - 1), read_as<format::NodePointer>(bytes, slot.value_offset),
               index);
  }
}

RawBytes MetadataEditor::node(const Medium& medium, std::size_t index) const {
  const format::NodePointer& pointer = nodes_[index].pointer;
  return read(medium, Address{pointer.address}.offset_bytes(), pointer.image_bytes);
}

// Writes a node, and its parents with the checksums that follow.
void MetadataEditor::put_node(const Medium& medium, std::size_t index, RawBytes bytes) const {
  const NodePlace& place = nodes_[index];
  const le64 checksum = format::seal_checksum(bytes, read_as<format::NodeHeader>(bytes, 0).checksum_kind);
  put(MutableByteSpan(bytes), 0, checksum);
  medium.write(Address{place.pointer.address}.offset_bytes(), bytes);
  format::NodePointer pointer = place.pointer;
  pointer.checksum = format::seal_mark(checksum);
  if (place.parent == none) {
    SliceHeader changed = header(medium, place.slice);
    changed.roots[static_cast<u8>(place.tree)] = pointer;
    return put_header(medium, place.slice, changed);
  }
  RawBytes parent = node(medium, place.parent);
  for (u64 i = 0; i < slot_count(parent); ++i) {
    const auto slot = read_as<Slot>(parent, slot_offset(i));
    if (read_as<format::NodePointer>(parent, slot.value_offset).address != pointer.address) continue;
    put(MutableByteSpan(parent), slot.value_offset, pointer);
  }
  put_node(medium, place.parent, std::move(parent));
}

SliceHeader MetadataEditor::header(const Medium& medium, u16 slice) const {
  return read_as<SliceHeader>(read(medium, header_offsets_[slice], block_bytes), 0);
}

void MetadataEditor::put_header(const Medium& medium, u16 slice, SliceHeader header) const {
  format::seal_slice_header(header);
  medium.write(header_offsets_[slice], bytes_of(header));
}

RawBytes MetadataEditor::space_list(const Medium& medium, u16 slice) const {
  return read(medium, space_list_offsets_[slice], space_list_bytes_[slice]);
}

void MetadataEditor::put_space_list(const Medium& medium, u16 slice, const RawBytes& list) const {
  medium.write(space_list_offsets_[slice], list);
  SliceHeader changed = header(medium, slice);
  changed.space_list_checksum = codec::checksum(static_cast<ChecksumKind>(changed.checksum_kind), list);
  put_header(medium, slice, changed);
}

RawBytes MetadataEditor::entry(const Medium& medium, std::size_t index) const {
  const EntryPointer& pointer = history_.entries[index].pointer;
  return read(medium, Address{pointer.address}.offset_bytes(), pointer.bytes);
}

// Writes an entry, and what names it: a later one of its stream, or the commit block.
void MetadataEditor::put_entry(const Medium& medium, std::size_t index, RawBytes bytes) const {
  EntryPointer pointer = history_.entries[index].pointer;
  format::seal_entry(bytes);
  medium.write(Address{pointer.address}.offset_bytes(), bytes);
  pointer.checksum = format::seal_mark(read_as<EntryHeader>(bytes, 0).checksum);
  for (std::size_t later = index + 1; later < history_.entries.size(); ++later) {
    RawBytes following = entry(medium, later);
    auto header = read_as<EntryHeader>(following, 0);
    if (header.previous.address != pointer.address) continue;
    header.previous = pointer;
    put(MutableByteSpan(following), 0, header);
    return put_entry(medium, later, std::move(following));
  }
  RawBytes block = commit(medium);
  for (u64 at = sizeof(CommitBlock); at + sizeof pointer <= block.size(); at += sizeof pointer) {
    if (read_as<EntryPointer>(block, at).address == pointer.address) put(MutableByteSpan(block), at, pointer);
  }
  put_commit(medium, std::move(block));
}

u64 MetadataEditor::commit_offset() const {
  const u64 slot = history_.last.value % format::commit_slots;
  return (superblock_.commit_ring_block + slot * format::commit_slot_blocks) * block_bytes;
}

RawBytes MetadataEditor::commit(const Medium& medium) const {
  return read(medium, commit_offset(), format::commit_slot_blocks * block_bytes);
}

void MetadataEditor::put_commit(const Medium& medium, RawBytes block) const {
  const u64 sealed_bytes = read_as<CommitBlock>(block, 0).bytes;
  if (sealed_bytes >= sizeof(CommitBlock) && sealed_bytes <= block.size()) format::seal_commit(block);
  medium.write(commit_offset(), block);
}

}  // namespace cowfs::repair
