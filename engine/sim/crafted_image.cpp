// Values are tried that break arithmetic or make two things the same: zero, one, all ones, neighbours, single bits, and what
// stands in another place of the same kind. Places are those of the sound image; what an earlier change left there is read
// with care.
#include "engine/sim/crafted_image.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/admin/superblocks.h"
#include "engine/codec/crc32c.h"
#include "engine/device/sim_device.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::sim {

using device::Image;
using format::Address;
using format::CommitBlock;
using format::EntryHeader;
using format::EntryPointer;
using format::NodeHeader;
using format::SliceHeader;
using format::Slot;
using format::TreeId;

namespace {

using RawBytes = std::vector<std::byte>;

RawBytes read(const Image& image, u64 offset, u64 bytes) {
  RawBytes raw(bytes);
  image.read(offset, raw);
  return raw;
}

RawBytes read(const Image& image, const format::NodePointer& pointer) {
  return read(image, Address{pointer.address}.offset_bytes(), pointer.image_bytes);
}

RawBytes read(const Image& image, const EntryPointer& pointer) {
  return read(image, Address{pointer.address}.offset_bytes(), pointer.bytes);
}

// Zeros for what is not there.
template <typename T>
T read_as(ByteSpan raw, u64 offset) {
  T object{};
  if (offset + sizeof object <= raw.size()) std::memcpy(&object, raw.data() + offset, sizeof object);
  return object;
}

template <typename T>
void put(MutableByteSpan raw, u64 offset, const T& object) {
  if (offset + sizeof object <= raw.size()) std::memcpy(raw.data() + offset, &object, sizeof object);
}

// As much of it as is there.
template <typename Span>
Span part(Span raw, u64 at, u64 bytes) {
  at = std::min<u64>(at, raw.size());
  return raw.subspan(at, std::min<u64>(bytes, raw.size() - at));
}

u64 slot_count(ByteSpan node) {
  const u64 room = (node.size() - std::min(node.size(), sizeof(NodeHeader))) / sizeof(Slot);
  return std::min<u64>(read_as<NodeHeader>(node, 0).count, room);
}

u64 slot_offset(u64 index) { return sizeof(NodeHeader) + index * sizeof(Slot); }

// Changes one little-endian number of 1, 2, 4 or 8 bytes somewhere in `bytes`; `donor` is another thing of the same kind.
std::string change_number(MutableByteSpan bytes, ByteSpan donor, Draws& draws) {
  if (bytes.empty()) return "nothing";
  u64 width = 1ull << draws.below(4);
  while (width > bytes.size()) width /= 2;
  const u64 step = draws.one_in(4) ? 1 : width;
  const u64 at = draws.below((bytes.size() - width) / step + 1) * step;
  u64 old = 0;
  std::memcpy(&old, bytes.data() + at, width);
  u64 other = 0;
  if (at + width <= donor.size()) std::memcpy(&other, donor.data() + at, width);
  const u64 flipped = old ^ 1ull << draws.below(width * 8);
  const u64 choices[] = {0, 1, ~0ull, old + 1, old - 1, flipped, other, other + 1, draws.next()};
  u64 value = choices[draws.below(std::size(choices))];
  if (std::memcmp(&value, &old, width) == 0) value = ~old;
  std::memcpy(bytes.data() + at, &value, width);
  return fmt::format("{} bytes at {}: {:#x} -> {:#x}", width, at, old, value);
}

}  // namespace

Image image_to_change(const ScenarioSettings& settings) {
  Scenario scenario(settings);
  scenario.mount({.seed = settings.seed});
  scenario.run_clients(200);
  scenario.close();
  scenario.mount({.seed = settings.seed + 1});
  scenario.run_clients(60);
  fs::Operations* operations = &scenario.filesystem().operations();
  const Status synced = scenario.filesystem().run(0, [operations] { return operations->sync(); });
  assert(synced.ok() && scenario.sound());
  scenario.abandon();
  return scenario.filesystem().device().crash_image_all_lost();
}

Crafter::Crafter(Image sound) : sound_(std::move(sound)) {
  runtime::SimCores cores({.cores = 1, .seed = 1});
  device::SimDevice device(sound_, {});
  const auto found = cores.run(0, [&] { return admin::read_superblock(device); });
  assert(found.ok());
  superblock_ = found->superblock;
  auto history = cores.run(0, [&] { return journal::read_history(device, superblock_); });
  assert(history.ok());
  history_ = std::move(*history);
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    const u64 places = (superblock_.slice_headers_block + slice * 2ull) * block_bytes;
    const auto first = read_as<SliceHeader>(read(sound_, places, block_bytes), 0);
    const auto second = read_as<SliceHeader>(read(sound_, places + block_bytes, block_bytes), 0);
    header_offsets_.push_back(first.sequence > second.sequence ? places : places + block_bytes);
    const SliceHeader newest = header(sound_, slice);
    for (u8 tree = 0; tree < format::tree_count; ++tree) {
      const format::NodePointer root = newest.roots[tree];
      if (root.present()) find_nodes(slice, static_cast<TreeId>(tree), newest.levels[tree], root, none);
    }
  }
}

void Crafter::find_nodes(u16 slice, TreeId tree, u8 level, format::NodePointer pointer, std::size_t parent) {
  const std::size_t index = nodes_.size();
  nodes_.push_back({slice, tree, level, pointer, parent});
  if (level == 0) return;
  const RawBytes node = read(sound_, pointer);
  for (u64 i = 0; i < slot_count(node); ++i) {
    const auto slot = read_as<Slot>(node, slot_offset(i));
    find_nodes(slice, tree, static_cast<u8>(level - 1), read_as<format::NodePointer>(node, slot.value_offset), index);
  }
}

std::string Crafter::change(Image& image, Draws& draws) const {
  const u64 kind = draws.below(20);
  if (kind < 11) return change_node(image, draws);
  if (kind < 15) return change_entry(image, draws);
  if (kind < 17) return change_header(image, draws);
  if (kind < 18) return change_commit(image, draws);
  if (kind < 19) return change_space_list(image, draws);
  return change_superblock(image, draws);
}

// A value of this tree, of any slice.
RawBytes Crafter::value_like(const Image& image, TreeId tree, Draws& draws) const {
  std::vector<const NodePlace*> leaves;
  for (const NodePlace& node : nodes_) {
    if (node.tree == tree && node.level == 0) leaves.push_back(&node);
  }
  const RawBytes node = read(image, leaves[draws.below(leaves.size())]->pointer);
  const u64 count = slot_count(node);
  const auto slot = read_as<Slot>(node, slot_offset(count == 0 ? 0 : draws.below(count)));
  const ByteSpan value = part(ByteSpan(node), slot.value_offset, slot.value_bytes);
  return {value.begin(), value.end()};
}

std::string Crafter::change_node(Image& image, Draws& draws) const {
  const std::size_t index = draws.below(nodes_.size());
  const NodePlace& place = nodes_[index];
  RawBytes node = read(image, place.pointer);
  const MutableByteSpan all(node);
  std::string what = fmt::format("slice {} tree {} level {}: ", place.slice, format::name(place.tree), place.level);
  const u64 choice = draws.below(8);
  const u64 count = slot_count(node);
  if (choice == 0 || count == 0) {
    constexpr u64 from = offsetof(NodeHeader, image_bytes);  // what comes before names the node, and is compared
    what += "header, " + change_number(all.subspan(from, sizeof(NodeHeader) - from), {}, draws);
  } else {
    const u64 slot_at = slot_offset(draws.below(count));
    const auto slot = read_as<Slot>(node, slot_at);
    const auto other = read_as<Slot>(node, slot_offset(draws.below(count)));
    const MutableByteSpan value = part(all, slot.value_offset, slot.value_bytes);
    const RawBytes donor = value_like(image, place.tree, draws);
    what += fmt::format("key {:#x}:{}, ", slot.key().inode, slot.key().offset);
    if (choice < 3 || value.empty()) {
      what += "slot, " + change_number(part(all, slot_at, sizeof slot), bytes_of(other), draws);
    } else if (choice < 5 && donor.size() == value.size()) {
      std::copy(donor.begin(), donor.end(), value.begin());
      what += "another's value";
    } else {
      what += "value, " + change_number(value, donor, draws);
    }
  }
  put_node(image, index, std::move(node));
  return what;
}

// Writes a node, and its parents with the checksums that follow.
void Crafter::put_node(Image& image, std::size_t index, RawBytes bytes) const {
  const NodePlace& node = nodes_[index];
  const le32 checksum = codec::crc32c(ByteSpan(bytes).subspan(sizeof(le32)));
  put(MutableByteSpan(bytes), 0, checksum);
  image.write(Address{node.pointer.address}.offset_bytes(), bytes);
  format::NodePointer pointer = node.pointer;
  pointer.checksum = checksum;
  if (node.parent == none) {
    SliceHeader changed = header(image, node.slice);
    changed.roots[static_cast<u8>(node.tree)] = pointer;
    return put_header(image, node.slice, changed);
  }
  RawBytes parent = read(image, nodes_[node.parent].pointer);
  for (u64 i = 0; i < slot_count(parent); ++i) {
    const auto slot = read_as<Slot>(parent, slot_offset(i));
    if (read_as<format::NodePointer>(parent, slot.value_offset).address != pointer.address) continue;
    put(MutableByteSpan(parent), slot.value_offset, pointer);
  }
  put_node(image, node.parent, std::move(parent));
}

SliceHeader Crafter::header(const Image& image, u16 slice) const {
  return read_as<SliceHeader>(read(image, header_offsets_[slice], block_bytes), 0);
}

void Crafter::put_header(Image& image, u16 slice, SliceHeader header) const {
  format::seal_slice_header(header);
  image.write(header_offsets_[slice], bytes_of(header));
}

std::string Crafter::change_header(Image& image, Draws& draws) const {
  const auto slice = static_cast<u16>(draws.below(header_offsets_.size()));
  const SliceHeader other = header(image, static_cast<u16>(draws.below(header_offsets_.size())));
  SliceHeader changed = header(image, slice);
  constexpr u64 from = offsetof(SliceHeader, slice);
  constexpr u64 bytes = offsetof(SliceHeader, reserved) - from;
  const MutableByteSpan fields{reinterpret_cast<std::byte*>(&changed) + from, bytes};
  const std::string what = change_number(fields, bytes_of(other).subspan(from, bytes), draws);
  put_header(image, slice, changed);
  return fmt::format("header of slice {}: ", slice) + what;
}

std::string Crafter::change_space_list(Image& image, Draws& draws) const {
  const auto slice = static_cast<u16>(draws.below(header_offsets_.size()));
  const SliceHeader before = header(sound_, slice);
  const u64 offset = Address{before.space_list_address}.offset_bytes();
  RawBytes list = read(image, offset, before.space_buckets * sizeof(format::MetadataBucket));
  const std::string what = change_number(list, RawBytes(list), draws);
  image.write(offset, list);
  SliceHeader changed = header(image, slice);
  changed.space_list_checksum = codec::crc32c(list);
  put_header(image, slice, changed);
  return fmt::format("space list of slice {}: ", slice) + what;
}

std::string Crafter::change_entry(Image& image, Draws& draws) const {
  const std::size_t index = draws.below(history_.entries.size());
  RawBytes entry = read(image, history_.entries[index].pointer);
  const MutableByteSpan all(entry);
  std::string what = fmt::format("journal entry {}: ", index);
  if (draws.one_in(6)) {
    constexpr u64 from = offsetof(EntryHeader, bytes);
    what += "header, " + change_number(all.subspan(from, sizeof(EntryHeader) - from), {}, draws);
  } else {
    // The heads of records, and their values.
    std::vector<std::pair<u64, u64>> places;
    for (u64 at = sizeof(EntryHeader); at + sizeof(format::RecordHeader) <= entry.size();) {
      const u64 value_bytes = read_as<format::RecordHeader>(entry, at).value_bytes;
      places.emplace_back(at, sizeof(format::RecordHeader));
      at += sizeof(format::RecordHeader);
      if (value_bytes > 0) places.emplace_back(at, value_bytes);
      at += value_bytes;
    }
    const auto [at, length] = places[draws.below(places.size())];
    const auto [other_at, other_length] = places[draws.below(places.size())];
    const ByteSpan other = part(ByteSpan(entry), other_at, other_length);
    const RawBytes donor(other.begin(), other.end());
    what += fmt::format("record at {}, ", at) + change_number(part(all, at, length), donor, draws);
  }
  put_entry(image, index, std::move(entry));
  return what;
}

// Writes an entry, and what names it: a later one of its stream, or the commit block.
void Crafter::put_entry(Image& image, std::size_t index, RawBytes bytes) const {
  EntryPointer pointer = history_.entries[index].pointer;
  format::seal_entry(bytes);
  image.write(Address{pointer.address}.offset_bytes(), bytes);
  pointer.checksum = read_as<EntryHeader>(bytes, 0).checksum;
  for (std::size_t later = index + 1; later < history_.entries.size(); ++later) {
    RawBytes entry = read(image, history_.entries[later].pointer);
    auto header = read_as<EntryHeader>(entry, 0);
    if (header.previous.address != pointer.address) continue;
    header.previous = pointer;
    put(MutableByteSpan(entry), 0, header);
    return put_entry(image, later, std::move(entry));
  }
  RawBytes block = read(image, commit_offset(), format::commit_slot_blocks * block_bytes);
  for (u64 at = sizeof(CommitBlock); at + sizeof pointer <= block.size(); at += sizeof pointer) {
    if (read_as<EntryPointer>(block, at).address == pointer.address) put(MutableByteSpan(block), at, pointer);
  }
  put_commit(image, std::move(block));
}

u64 Crafter::commit_offset() const {
  const u64 slot = history_.last.value % format::commit_slots;
  return (superblock_.commit_ring_block + slot * format::commit_slot_blocks) * block_bytes;
}

void Crafter::put_commit(Image& image, RawBytes block) const {
  const u64 sealed_bytes = read_as<CommitBlock>(block, 0).bytes;
  if (sealed_bytes >= sizeof(CommitBlock) && sealed_bytes <= block.size()) format::seal_commit(block);
  image.write(commit_offset(), block);
}

std::string Crafter::change_commit(Image& image, Draws& draws) const {
  RawBytes block = read(image, commit_offset(), format::commit_slot_blocks * block_bytes);
  constexpr u64 from = offsetof(CommitBlock, epoch);
  const u64 bytes = sizeof(CommitBlock) + history_.tails.size() * sizeof(EntryPointer) - from;
  const std::string what = change_number(part(MutableByteSpan(block), from, bytes), {}, draws);
  put_commit(image, std::move(block));
  return "commit block: " + what;
}

std::string Crafter::change_superblock(Image& image, Draws& draws) const {
  runtime::SimCores cores({.cores = 1, .seed = 1});
  device::SimDevice device(image, {});
  const auto found = cores.run(0, [&] { return admin::read_superblock(device); });
  format::Superblock changed = found ? found->superblock : superblock_;
  constexpr u64 from = 2 * sizeof(le64);  // checksum and magic come first
  const MutableByteSpan fields{reinterpret_cast<std::byte*>(&changed) + from,
                               offsetof(format::Superblock, reserved) - from};
  const std::string what = change_number(fields, {}, draws);
  const Status written = cores.run(0, [&] { return admin::write_superblocks(device, changed); });
  if (written) image = device.image();
  return "superblock: " + what;
}

}  // namespace cowfs::sim
