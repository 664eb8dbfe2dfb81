// Values are tried that break arithmetic or make two things the same: zero, one, all ones, neighbours, single bits, and what
// stands in another place of the same kind. Places are those of the sound image; what an earlier change left there is read
// with care.
#include "engine/sim/crafted_image.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/pool/superblocks.h"
#include "engine/device/sim_device.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::sim {

using device::Image;
using format::CommitBlock;
using format::EntryHeader;
using format::EntryPointer;
using format::NodeHeader;
using format::SliceHeader;
using format::Slot;
using format::TreeId;
using repair::Medium;
using repair::MetadataEditor;
using repair::RawBytes;
using repair::read_as;
using repair::slot_count;
using repair::slot_offset;

namespace {

Medium medium_of(Image& image) {
  return {[&image](u64 offset, MutableByteSpan into) { image.read(offset, into); },
          [&image](u64 offset, ByteSpan from) { image.write(offset, from); }};
}

// As much of it as is there.
template <typename Span>
Span part(Span raw, u64 at, u64 bytes) {
  at = std::min<u64>(at, raw.size());
  return raw.subspan(at, std::min<u64>(bytes, raw.size() - at));
}

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

namespace {

MetadataEditor editor_of(Image& sound) {
  runtime::SimCores cores({.cores = 1, .seed = 1});
  device::SimDevice device(sound, {});
  const auto found = cores.run(0, [&] { return pool::read_superblock(device); });
  assert(found.ok());
  auto history = cores.run(0, [&] { return journal::read_history(device, found->superblock); });
  assert(history.ok());
  return {medium_of(sound), found->superblock, std::move(*history)};
}

}  // namespace

Crafter::Crafter(Image sound) : sound_(std::move(sound)), editor_(editor_of(sound_)) {}

std::string Crafter::change(Image& image, Draws& draws) const {
  const Medium medium = medium_of(image);
  const u64 kind = draws.below(20);
  if (kind < 11) return change_node(medium, draws);
  if (kind < 15) return change_entry(medium, draws);
  if (kind < 17) return change_header(medium, draws);
  if (kind < 18) return change_commit(medium, draws);
  if (kind < 19) return change_space_list(medium, draws);
  return change_superblock(image, draws);
}

// A value of this tree, of any slice.
RawBytes Crafter::value_like(const Medium& medium, TreeId tree, Draws& draws) const {
  std::vector<std::size_t> leaves;
  for (std::size_t index = 0; index < editor_.nodes().size(); ++index) {
    const MetadataEditor::NodePlace& place = editor_.nodes()[index];
    if (place.tree == tree && place.level == 0) leaves.push_back(index);
  }
  const RawBytes node = editor_.node(medium, leaves[draws.below(leaves.size())]);
  const u64 count = slot_count(node);
  const auto slot = read_as<Slot>(node, slot_offset(count == 0 ? 0 : draws.below(count)));
  const ByteSpan value = part(ByteSpan(node), slot.value_offset, slot.value_bytes);
  return {value.begin(), value.end()};
}

std::string Crafter::change_node(const Medium& medium, Draws& draws) const {
  const std::size_t index = draws.below(editor_.nodes().size());
  const MetadataEditor::NodePlace& place = editor_.nodes()[index];
  RawBytes node = editor_.node(medium, index);
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
    const RawBytes donor = value_like(medium, place.tree, draws);
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
  editor_.put_node(medium, index, std::move(node));
  return what;
}

std::string Crafter::change_header(const Medium& medium, Draws& draws) const {
  const auto slice = static_cast<u16>(draws.below(editor_.superblock().slices));
  const SliceHeader other = editor_.header(medium, static_cast<u16>(draws.below(editor_.superblock().slices)));
  SliceHeader changed = editor_.header(medium, slice);
  constexpr u64 from = offsetof(SliceHeader, slice);
  constexpr u64 bytes = offsetof(SliceHeader, reserved) - from;
  const MutableByteSpan fields{reinterpret_cast<std::byte*>(&changed) + from, bytes};
  const std::string what = change_number(fields, bytes_of(other).subspan(from, bytes), draws);
  editor_.put_header(medium, slice, changed);
  return fmt::format("header of slice {}: ", slice) + what;
}

std::string Crafter::change_space_list(const Medium& medium, Draws& draws) const {
  const auto slice = static_cast<u16>(draws.below(editor_.superblock().slices));
  RawBytes list = editor_.space_list(medium, slice);
  const std::string what = change_number(list, RawBytes(list), draws);
  editor_.put_space_list(medium, slice, list);
  return fmt::format("space list of slice {}: ", slice) + what;
}

std::string Crafter::change_entry(const Medium& medium, Draws& draws) const {
  const std::size_t index = draws.below(editor_.history().entries.size());
  RawBytes entry = editor_.entry(medium, index);
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
  editor_.put_entry(medium, index, std::move(entry));
  return what;
}

std::string Crafter::change_commit(const Medium& medium, Draws& draws) const {
  RawBytes block = editor_.commit(medium);
  constexpr u64 from = offsetof(CommitBlock, epoch);
  const u64 bytes = sizeof(CommitBlock) + editor_.history().tails.size() * sizeof(EntryPointer) - from;
  const std::string what = change_number(part(MutableByteSpan(block), from, bytes), {}, draws);
  editor_.put_commit(medium, std::move(block));
  return "commit block: " + what;
}

std::string Crafter::change_superblock(Image& image, Draws& draws) const {
  runtime::SimCores cores({.cores = 1, .seed = 1});
  device::SimDevice device(image, {});
  const auto found = cores.run(0, [&] { return pool::read_superblock(device); });
  format::Superblock changed = found ? found->superblock : editor_.superblock();
  constexpr u64 from = 2 * sizeof(le64);  // checksum and magic come first
  const MutableByteSpan fields{reinterpret_cast<std::byte*>(&changed) + from,
                               offsetof(format::Superblock, reserved) - from};
  const std::string what = change_number(fields, {}, draws);
  const Status written = cores.run(0, [&] { return pool::write_superblocks(device, changed); });
  if (written) image = device.image();
  return "superblock: " + what;
}

}  // namespace cowfs::sim
