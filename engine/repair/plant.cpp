// One function for each class of findings. Each chooses by the seed among the places that it could damage, and changes as
// little as it can: what else check then names follows from that one change.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/admin/tools.h"
#include "engine/base/random.h"
#include "engine/format/pool_map.h"
#include "engine/format/values.h"
#include "engine/repair/corrupt.h"

namespace cowfs::repair {

using format::Extent;
using format::ExtentKind;
using format::InodeValue;
using format::Key;
using format::Slot;
using format::SliceHeader;
using format::TreeId;

namespace {

constexpr u64 far_counter = 1ull << 46;  // of an inode that nobody made

struct KeyPlace {
  std::size_t node = 0;
  u64 slot = 0;
  u16 slice = 0;
  Key key;
  RawBytes value;

  template <typename T>
  T as() const {
    return read_as<T>(value, 0);
  }
};

bool has_type(const InodeValue& inode, u32 type) { return (inode.mode & 0170000) == type; }
constexpr u32 type_directory = 0040000, type_regular = 0100000, type_fifo = 0010000;

class Planter {
 public:
  Planter(const MetadataEditor& editor, const Medium& medium, u64 seed)
      : editor_(editor), medium_(medium), random_(seed) {}

  // Each answers what it did; nothing when there is no place for it.
  std::string commit_block_damaged();
  std::string journal_damaged();
  std::string slice_header_damaged();
  std::string slice_header_missing();
  std::string space_list_damaged();
  std::string node_damaged();
  std::string node_misplaced();
  std::string metadata_count_wrong();
  std::string recovery_refused();
  std::string tree_unreadable();
  std::string lease_invalid();
  std::string bucket_not_leased();
  std::string extent_pointer_invalid();
  std::string extents_overlap();
  std::string blocks_shared();
  std::string extent_past_end();
  std::string extent_misplaced();
  std::string blocks_wrong();
  std::string extent_without_inode();
  std::string data_checksum_wrong();
  std::string backpointer_missing();
  std::string backpointer_wrong();
  std::string alloc_wrong();
  std::string inode_misplaced();
  std::string orphan_missing();
  std::string orphan_needless();
  std::string name_without_inode();
  std::string name_without_directory();
  std::string name_type_wrong();
  std::string name_hash_wrong();
  std::string links_wrong();
  std::string directory_size_wrong();
  std::string parent_wrong();
  std::string directory_named_twice();
  std::string unreachable();
  std::string root_missing();
  std::string xattr_without_inode();
  std::string accounting_wrong();

  // Nothing but flip() changed anything.
  bool only_flipped() const { return only_flipped_; }

 private:
  u16 any_slice() { return static_cast<u16>(random_.below(editor_.superblock().slices)); }
  u64 header_place(u16 slice, u64 place) const {
    return (editor_.superblock().slice_headers_block + slice * 2ull + place) * block_bytes;
  }
  std::string flip(u64 offset, std::string what);

  std::vector<KeyPlace> keys(TreeId tree) const;
  // One of those that pass `test`; nothing when none does.
  template <typename Test>
  std::optional<KeyPlace> one_key(TreeId tree, Test test) {
    std::vector<KeyPlace> all = keys(tree);
    std::erase_if(all, [&](const KeyPlace& place) { return !test(place); });
    if (all.empty()) return std::nullopt;
    return std::move(all[random_.below(all.size())]);
  }
  std::optional<KeyPlace> one_inode(u32 type) {
    return one_key(TreeId::inodes, [type](const KeyPlace& place) {
      const auto inode = place.as<InodeValue>();
      return has_type(inode, type) && inode.links > 0 && place.key.inode != format::root_inode;
    });
  }
  // A regular file with data in its home slice.
  std::optional<KeyPlace> one_file_with_data();
  std::map<u64, KeyPlace> last_home_extents() const;
  // A name that stands alone under its hash and passes `test`.
  template <typename Test>
  std::optional<KeyPlace> one_name(Test test) {
    return one_key(TreeId::dirents, [&test](const KeyPlace& place) {
      const auto header = place.as<format::DirentHeader>();
      return sizeof header + header.name_bytes == place.value.size() && test(header);
    });
  }
  static bool is_file(const format::DirentHeader& name) {
    return name.type == static_cast<u8>(format::FileType::regular);
  }

  template <typename T>
  void set(const KeyPlace& place, const T& value) const {
    put_bytes(place, bytes_of(value));
  }
  void put_bytes(const KeyPlace& place, ByteSpan front) const;
  bool key_fits(const KeyPlace& place, const Key& key) const;
  void set_key(const KeyPlace& place, const Key& key) const;
  bool can_erase(const KeyPlace& place) const { return slot_count(editor_.node(medium_, place.node)) > 1; }
  void erase(const KeyPlace& place) const;
  static std::string text(const KeyPlace& place, TreeId tree) {
    return fmt::format("slice {} {}", place.slice, format::to_text(tree, place.key, place.value));
  }
  std::string change_list(u16 slice, bool remove);

  const MetadataEditor& editor_;
  const Medium& medium_;
  Random random_;
  bool only_flipped_ = false;
};

void flip_byte(const Medium& medium, u64 offset, Random& random) {
  RawBytes byte = read(medium, offset, 1);
  byte[0] ^= static_cast<std::byte>(1 + random.below(255));
  medium.write(offset, byte);
}

std::string Planter::flip(u64 offset, std::string what) {
  flip_byte(medium_, offset, random_);
  only_flipped_ = true;
  return fmt::format("a byte at {} of {}", offset, what);
}

std::vector<KeyPlace> Planter::keys(TreeId tree) const {
  std::vector<KeyPlace> found;
  for (std::size_t index = 0; index < editor_.nodes().size(); ++index) {
    const MetadataEditor::NodePlace& place = editor_.nodes()[index];
    if (place.tree != tree || place.level != 0) continue;
    const RawBytes node = editor_.node(medium_, index);
    for (u64 i = 0; i < slot_count(node); ++i) {
      const auto slot = read_as<Slot>(node, slot_offset(i));
      const auto value = node.begin() + slot.value_offset;
      found.push_back({index, i, place.slice, slot.key(), RawBytes(value, value + slot.value_bytes)});
    }
  }
  return found;
}

void Planter::put_bytes(const KeyPlace& place, ByteSpan front) const {
  RawBytes node = editor_.node(medium_, place.node);
  const auto slot = read_as<Slot>(node, slot_offset(place.slot));
  std::copy(front.begin(), front.end(), node.begin() + slot.value_offset);
  editor_.put_node(medium_, place.node, std::move(node));
}

bool Planter::key_fits(const KeyPlace& place, const Key& key) const {
  const RawBytes node = editor_.node(medium_, place.node);
  const auto header = read_as<format::NodeHeader>(node, 0);
  const bool before = place.slot == 0 || read_as<Slot>(node, slot_offset(place.slot - 1)).key() < key;
  const bool after =
      place.slot + 1 == slot_count(node) || key < read_as<Slot>(node, slot_offset(place.slot + 1)).key();
  return before && after && header.first.key() <= key && key <= header.last.key();
}

void Planter::set_key(const KeyPlace& place, const Key& key) const {
  RawBytes node = editor_.node(medium_, place.node);
  auto slot = read_as<Slot>(node, slot_offset(place.slot));
  slot.inode = key.inode;
  slot.offset = key.offset;
  slot.snapshot = key.snapshot;
  put(MutableByteSpan(node), slot_offset(place.slot), slot);
  editor_.put_node(medium_, place.node, std::move(node));
}

void Planter::erase(const KeyPlace& place) const {
  RawBytes node = editor_.node(medium_, place.node);
  auto header = read_as<format::NodeHeader>(node, 0);
  const auto at = node.begin() + static_cast<std::ptrdiff_t>(slot_offset(place.slot));
  const auto end = node.begin() + static_cast<std::ptrdiff_t>(slot_offset(header.count));
  std::copy(at + sizeof(Slot), end, at);
  header.count = static_cast<u16>(header.count - 1);
  put(MutableByteSpan(node), 0, header);
  editor_.put_node(medium_, place.node, std::move(node));
}

// By file: the data extent that reaches furthest.
std::map<u64, KeyPlace> Planter::last_home_extents() const {
  std::map<u64, KeyPlace> last;
  for (KeyPlace& place : keys(TreeId::extents)) {
    if (format::slice_of(place.key.inode) != place.slice) continue;
    if (format::decode_extent(place.value).kind == ExtentKind::data) last[place.key.inode] = std::move(place);
  }
  return last;
}

std::optional<KeyPlace> Planter::one_file_with_data() {
  const std::map<u64, KeyPlace> extents = last_home_extents();
  return one_key(TreeId::inodes, [&](const KeyPlace& place) {
    const auto inode = place.as<InodeValue>();
    return has_type(inode, type_regular) && inode.links > 0 && extents.contains(place.key.inode);
  });
}

std::string Planter::commit_block_damaged() {
  std::vector<u64> places;
  for (u64 place = 0; place < format::commit_slots; ++place) {
    const u64 offset = (editor_.superblock().commit_ring_block + place * format::commit_slot_blocks) * block_bytes;
    const auto block = read_as<format::CommitBlock>(read(medium_, offset, sizeof(format::CommitBlock)), 0);
    if (block.magic == format::commit_magic && block.epoch < editor_.history().last.value) places.push_back(offset);
  }
  if (places.empty()) return {};
  return flip(places[random_.below(places.size())], "a commit block that is not the newest");
}

std::string Planter::journal_damaged() {
  if (editor_.history().entries.empty()) return {};
  const format::EntryPointer& entry =
      editor_.history().entries[random_.below(editor_.history().entries.size())].pointer;
  return flip(format::Address{entry.address}.offset_bytes() + random_.below(entry.bytes),
              fmt::format("the journal entry of epoch {}", u64{entry.epoch}));
}

std::string Planter::slice_header_damaged() {
  const u16 slice = any_slice();
  const u64 first = header_place(slice, 0);
  const u64 other = editor_.header_offset(slice) == first ? first + block_bytes : first;
  if (read_as<SliceHeader>(read(medium_, other, block_bytes), 0).magic != format::slice_header_magic) return {};
  return flip(other, fmt::format("the older header of slice {}", slice));
}

std::string Planter::slice_header_missing() {
  const u16 slice = any_slice();
  flip(header_place(slice, 0), "");
  return flip(header_place(slice, 1), fmt::format("each header of slice {}", slice));
}

std::string Planter::space_list_damaged() {
  const u16 slice = any_slice();
  const SliceHeader header = editor_.header(medium_, slice);
  if (header.space_buckets == 0) return {};
  return flip(format::Address{header.space_list_address}.offset_bytes() +
                  random_.below(header.space_buckets * sizeof(format::MetadataBucket)),
              fmt::format("the space list of slice {}", slice));
}

std::string Planter::node_damaged() {
  if (editor_.nodes().empty()) return {};
  const MetadataEditor::NodePlace& node = editor_.nodes()[random_.below(editor_.nodes().size())];
  return flip(format::Address{node.pointer.address}.offset_bytes() + random_.below(node.pointer.image_bytes),
              fmt::format("slice {} tree {} level {}", node.slice, format::name(node.tree), node.level));
}

// One bucket less is listed, or one with a block less.
std::string Planter::change_list(u16 slice, bool remove) {
  RawBytes list = editor_.space_list(medium_, slice);
  constexpr std::size_t entry_bytes = sizeof(format::MetadataBucket);
  std::vector<u64> places;
  for (u64 at = 0; at + entry_bytes <= list.size(); at += entry_bytes)
    if (read_as<format::MetadataBucket>(list, at).live_blocks > 0) places.push_back(at);
  if (places.empty()) return {};
  const u64 at = places[random_.below(places.size())];
  auto entry = read_as<format::MetadataBucket>(list, at);
  if (remove) {
    const auto first = list.begin() + static_cast<std::ptrdiff_t>(at);
    list.erase(first, first + entry_bytes);
    SliceHeader header = editor_.header(medium_, slice);
    header.space_buckets = header.space_buckets - 1;
    editor_.put_header(medium_, slice, header);
  } else {
    entry.live_blocks = entry.live_blocks - 1;
    put(MutableByteSpan(list), at, entry);
  }
  editor_.put_space_list(medium_, slice, list);
  return fmt::format("bucket {} in the space list of slice {}", u64{entry.bucket}, slice);
}

std::string Planter::node_misplaced() { return change_list(any_slice(), true); }
std::string Planter::metadata_count_wrong() { return change_list(any_slice(), false); }

std::string Planter::recovery_refused() {
  const auto place = one_key(TreeId::alloc, [](const KeyPlace&) { return true; });
  if (!place) return {};
  auto value = place->as<format::AllocValue>();
  value.live_blocks = 0;
  set(*place, value);
  return "no live blocks in " + text(*place, TreeId::alloc);
}

std::string Planter::tree_unreadable() {
  std::vector<const MetadataEditor::NodePlace*> nodes;
  for (const MetadataEditor::NodePlace& node : editor_.nodes())
    if (node.tree == TreeId::dirents || node.tree == TreeId::extents) nodes.push_back(&node);
  if (nodes.empty()) return {};
  const MetadataEditor::NodePlace& node = *nodes[random_.below(nodes.size())];
  return flip(format::Address{node.pointer.address}.offset_bytes() + random_.below(node.pointer.image_bytes),
              fmt::format("slice {} tree {} level {}", node.slice, format::name(node.tree), node.level));
}

std::string Planter::lease_invalid() {
  const auto place = one_key(TreeId::leases, [](const KeyPlace&) { return true; });
  if (!place) return {};
  set(*place, format::LeaseValue{editor_.superblock().slices, 0});
  return "no such slice in " + text(*place, TreeId::leases);
}

std::string Planter::bucket_not_leased() {
  std::set<u64> used;
  for (const KeyPlace& alloc : keys(TreeId::alloc)) used.insert(alloc.key.inode);
  const auto place = one_key(TreeId::leases, [&](const KeyPlace& lease) { return used.contains(lease.key.inode); });
  if (!place || !can_erase(*place)) return {};
  erase(*place);
  return "removed " + text(*place, TreeId::leases);
}

bool is_data(const KeyPlace& place) { return format::decode_extent(place.value).kind == ExtentKind::data; }
bool is_checked_data(const KeyPlace& place) {
  return is_data(place) && format::decode_extent(place.value).checksum_kind != ChecksumKind::none;
}

format::ReplicaPointer pointer_of(const KeyPlace& extent) {
  return read_as<format::ReplicaPointer>(extent.value, sizeof(format::ExtentHeader));
}

RawBytes with_pointer(const KeyPlace& extent, const format::ReplicaPointer& pointer) {
  RawBytes value = extent.value;
  put(MutableByteSpan(value), sizeof(format::ExtentHeader), pointer);
  return value;
}

std::string Planter::extent_pointer_invalid() {
  const auto place = one_key(TreeId::extents, is_data);
  if (!place) return {};
  format::ReplicaPointer pointer = pointer_of(*place);
  if (random_.one_in(2)) {
    pointer.generation = pointer.generation + 1;
  } else {
    pointer.address = editor_.superblock().capacity_blocks + random_.below(1000);
  }
  put_bytes(*place, with_pointer(*place, pointer));
  return fmt::format("the pointer is {} generation {} in {}", u64{pointer.address}, u32{pointer.generation},
                     text(*place, TreeId::extents));
}

std::string Planter::extents_overlap() {
  const std::vector<KeyPlace> all = keys(TreeId::extents);
  std::vector<std::size_t> places;
  for (std::size_t i = 1; i < all.size(); ++i) {
    const bool adjoin = all[i].key.inode == all[i - 1].key.inode &&
                        all[i - 1].key.offset + format::decode_extent(all[i - 1].value).blocks == all[i].key.offset;
    if (adjoin && all[i].key.offset - 1 > all[i - 1].key.offset && is_data(all[i])) places.push_back(i);
  }
  if (places.empty()) return {};
  const KeyPlace& place = all[places[random_.below(places.size())]];
  Key key = place.key;
  --key.offset;
  if (!key_fits(place, key)) return {};
  set_key(place, key);
  return "a block earlier " + text(place, TreeId::extents);
}

std::string Planter::blocks_shared() {
  const auto one = one_key(TreeId::extents, is_data);
  if (!one) return {};
  const u32 blocks = format::decode_extent(one->value).blocks;
  const auto other = one_key(TreeId::extents, [&](const KeyPlace& place) {
    return is_data(place) && place.slice == one->slice && place.key != one->key &&
           format::decode_extent(place.value).blocks >= blocks;
  });
  if (!other) return {};
  put_bytes(*one, with_pointer(*one, pointer_of(*other)));
  return "the blocks of " + text(*other, TreeId::extents) + " also in " + text(*one, TreeId::extents);
}

std::string Planter::extent_past_end() {
  const auto place = one_file_with_data();
  if (!place) return {};
  const KeyPlace last = last_home_extents().at(place->key.inode);
  auto inode = place->as<InodeValue>();
  const u64 end = last.key.offset + format::decode_extent(last.value).blocks;
  inode.size = (end - 1) * block_bytes;
  set(*place, inode);
  return "too short " + text(*place, TreeId::inodes);
}

std::string Planter::extent_misplaced() {
  const auto place = one_file_with_data();
  if (!place) return {};
  auto inode = place->as<InodeValue>();
  inode.mode = (inode.mode & 07777) | type_fifo;
  set(*place, inode);
  return "a fifo now " + text(*place, TreeId::inodes);
}

std::string Planter::blocks_wrong() {
  const auto place = one_inode(type_regular);
  if (!place) return {};
  auto inode = place->as<InodeValue>();
  inode.blocks = inode.blocks + 1;
  set(*place, inode);
  return "a block more in " + text(*place, TreeId::inodes);
}

std::string Planter::extent_without_inode() {
  const auto place = one_file_with_data();
  if (!place || !can_erase(*place)) return {};
  erase(*place);
  return "removed " + text(*place, TreeId::inodes);
}

std::string Planter::data_checksum_wrong() {
  const auto place = one_key(TreeId::extents, is_checked_data);
  if (!place) return {};
  const Extent extent = format::decode_extent(place->value);
  return flip(extent.address.offset_bytes() + random_.below(extent.blocks * block_bytes),
              text(*place, TreeId::extents));
}

std::string Planter::backpointer_missing() {
  const auto place = one_key(TreeId::backpointers, [this](const KeyPlace& one) { return can_erase(one); });
  if (!place) return {};
  erase(*place);
  return "removed " + text(*place, TreeId::backpointers);
}

std::string Planter::backpointer_wrong() {
  const auto place = one_key(TreeId::backpointers, [](const KeyPlace&) { return true; });
  if (!place) return {};
  auto back = place->as<format::BackpointerValue>();
  back.offset_and_blocks = back.offset_and_blocks + (1 << 8);
  set(*place, back);
  return "a block further " + text(*place, TreeId::backpointers);
}

std::string Planter::alloc_wrong() {
  const auto place = one_key(TreeId::alloc, [](const KeyPlace& alloc) {
    return alloc.as<format::AllocValue>().live_blocks > 1;
  });
  if (!place) return {};
  auto value = place->as<format::AllocValue>();
  value.live_blocks = value.live_blocks - 1;
  set(*place, value);
  return "a block less in " + text(*place, TreeId::alloc);
}

std::string Planter::inode_misplaced() {
  const auto place = one_key(TreeId::inodes, [](const KeyPlace&) { return true; });
  if (!place) return {};
  SliceHeader header = editor_.header(medium_, place->slice);
  header.next_inode = 1;
  editor_.put_header(medium_, place->slice, header);
  return fmt::format("slice {} is to give out inode 1 next", place->slice);
}

std::string Planter::orphan_missing() {
  const auto place = one_inode(type_regular);
  if (!place) return {};
  auto inode = place->as<InodeValue>();
  inode.flags = inode.flags | format::inode_truncating;
  set(*place, inode);
  return "unfinished truncation in " + text(*place, TreeId::inodes);
}

std::string Planter::orphan_needless() {
  const auto orphan = one_key(TreeId::orphans, [](const KeyPlace&) { return true; });
  if (!orphan) return {};
  const auto place = one_key(TreeId::inodes, [&](const KeyPlace& one) { return one.key.inode == orphan->key.inode; });
  if (!place) return {};
  auto inode = place->as<InodeValue>();
  inode.links = 1;
  inode.flags = 0;
  set(*place, inode);
  return "a link in " + text(*place, TreeId::inodes);
}

std::string Planter::name_without_inode() {
  const auto place = one_name(is_file);
  if (!place) return {};
  auto name = place->as<format::DirentHeader>();
  name.inode = format::inode_number(place->slice, far_counter);
  set(*place, name);
  return "no such inode in " + text(*place, TreeId::dirents);
}

std::string Planter::name_without_directory() {
  std::set<u64> with_names;
  for (const KeyPlace& name : keys(TreeId::dirents)) with_names.insert(name.key.inode);
  const auto place = one_key(TreeId::inodes, [&](const KeyPlace& inode) {
    return inode.key.inode != format::root_inode && with_names.contains(inode.key.inode);
  });
  if (!place || !can_erase(*place)) return {};
  erase(*place);
  return "removed " + text(*place, TreeId::inodes);
}

std::string Planter::name_type_wrong() {
  const auto place = one_name(is_file);
  if (!place) return {};
  auto name = place->as<format::DirentHeader>();
  name.type = static_cast<u8>(format::FileType::socket);
  set(*place, name);
  return "a socket in " + text(*place, TreeId::dirents);
}

std::string Planter::name_hash_wrong() {
  const auto place = one_name(is_file);
  if (!place) return {};
  RawBytes value = place->value;
  value.back() = value.back() == std::byte{'x'} ? std::byte{'y'} : std::byte{'x'};
  put_bytes(*place, value);
  return "another last letter in " + text(*place, TreeId::dirents);
}

std::string Planter::links_wrong() {
  const auto place = one_inode(type_regular);
  if (!place) return {};
  auto inode = place->as<InodeValue>();
  inode.links = inode.links + 1;
  set(*place, inode);
  return "a link more in " + text(*place, TreeId::inodes);
}

std::string Planter::directory_size_wrong() {
  const auto place = one_inode(type_directory);
  if (!place) return {};
  auto inode = place->as<InodeValue>();
  inode.size = inode.size + 1;
  set(*place, inode);
  return "an entry more in " + text(*place, TreeId::inodes);
}

std::string Planter::parent_wrong() {
  const auto place = one_inode(type_directory);
  if (!place) return {};
  auto inode = place->as<InodeValue>();
  inode.parent = inode.parent == format::root_inode ? place->key.inode : format::root_inode;
  set(*place, inode);
  return "another parent in " + text(*place, TreeId::inodes);
}

std::string Planter::directory_named_twice() {
  const auto name = one_name(is_file);
  const auto directory = one_inode(type_directory);
  if (!name || !directory) return {};
  auto header = name->as<format::DirentHeader>();
  header.inode = directory->key.inode;
  header.type = static_cast<u8>(format::FileType::directory);
  set(*name, header);
  return fmt::format("inode {:#x} also in {}", directory->key.inode, text(*name, TreeId::dirents));
}

std::string Planter::unreachable() {
  std::set<u64> parents;  // of directories
  for (const KeyPlace& name : keys(TreeId::dirents)) {
    format::DirentChain chain(name.value);
    format::Dirent entry;
    while (chain.next(entry))
      if (entry.type == format::FileType::directory) parents.insert(name.key.inode);
  }
  const auto place = one_name([&](const format::DirentHeader& name) {
    return name.type == static_cast<u8>(format::FileType::directory) && parents.contains(name.inode);
  });
  if (!place || !can_erase(*place)) return {};
  erase(*place);
  return "removed " + text(*place, TreeId::dirents);
}

std::string Planter::root_missing() {
  const auto place = one_key(TreeId::inodes, [](const KeyPlace& one) { return one.key.inode == format::root_inode; });
  if (!place) return {};
  if (can_erase(*place) && random_.one_in(2)) {
    erase(*place);
    return "removed " + text(*place, TreeId::inodes);
  }
  auto inode = place->as<InodeValue>();
  inode.mode = (inode.mode & 07777) | type_regular;
  set(*place, inode);
  return "a file now " + text(*place, TreeId::inodes);
}

std::string Planter::xattr_without_inode() {
  const auto far = [](const KeyPlace& place) {
    return Key{format::inode_number(place.slice, far_counter), place.key.offset, place.key.snapshot};
  };
  const auto place = one_key(TreeId::xattrs, [&](const KeyPlace& one) { return key_fits(one, far(one)); });
  if (!place) return {};
  set_key(*place, far(*place));
  return "another inode in " + text(*place, TreeId::xattrs);
}

std::string Planter::accounting_wrong() {
  const u16 slice = any_slice();
  SliceHeader header = editor_.header(medium_, slice);
  const bool inodes = random_.one_in(2);
  le64& count = inodes ? header.inodes : header.data_blocks;
  count = count + 1;
  editor_.put_header(medium_, slice, header);
  return fmt::format("slice {} counts one more of its {}", slice, inodes ? "inodes" : "data blocks");
}

using Plant = std::string (Planter::*)();

const std::map<std::string, Plant>& plants() {
#define COWFS_PLANT(name) {#name, &Planter::name}
  static const std::map<std::string, Plant> all{COWFS_PLANT(commit_block_damaged),
                                                COWFS_PLANT(journal_damaged),
                                                COWFS_PLANT(slice_header_damaged),
                                                COWFS_PLANT(slice_header_missing),
                                                COWFS_PLANT(space_list_damaged),
                                                COWFS_PLANT(node_damaged),
                                                COWFS_PLANT(node_misplaced),
                                                COWFS_PLANT(metadata_count_wrong),
                                                COWFS_PLANT(recovery_refused),
                                                COWFS_PLANT(tree_unreadable),
                                                COWFS_PLANT(lease_invalid),
                                                COWFS_PLANT(bucket_not_leased),
                                                COWFS_PLANT(extent_pointer_invalid),
                                                COWFS_PLANT(extents_overlap),
                                                COWFS_PLANT(blocks_shared),
                                                COWFS_PLANT(extent_past_end),
                                                COWFS_PLANT(extent_misplaced),
                                                COWFS_PLANT(blocks_wrong),
                                                COWFS_PLANT(extent_without_inode),
                                                COWFS_PLANT(data_checksum_wrong),
                                                COWFS_PLANT(backpointer_missing),
                                                COWFS_PLANT(backpointer_wrong),
                                                COWFS_PLANT(alloc_wrong),
                                                COWFS_PLANT(inode_misplaced),
                                                COWFS_PLANT(orphan_missing),
                                                COWFS_PLANT(orphan_needless),
                                                COWFS_PLANT(name_without_inode),
                                                COWFS_PLANT(name_without_directory),
                                                COWFS_PLANT(name_type_wrong),
                                                COWFS_PLANT(name_hash_wrong),
                                                COWFS_PLANT(links_wrong),
                                                COWFS_PLANT(directory_size_wrong),
                                                COWFS_PLANT(parent_wrong),
                                                COWFS_PLANT(directory_named_twice),
                                                COWFS_PLANT(unreachable),
                                                COWFS_PLANT(root_missing),
                                                COWFS_PLANT(xattr_without_inode),
                                                COWFS_PLANT(accounting_wrong)};
#undef COWFS_PLANT
  return all;
}

}  // namespace

Planted plant_in_superblocks(const Medium& device, u64 device_blocks, const format::Superblock& superblock, u64 seed) {
  Random random(seed);
  const u64 copies[] = {format::superblock_first_copy, format::superblock_second_copy, device_blocks - 1};
  const u64 place = random.below(format::is_of_pool(superblock) ? 4 : 3);
  if (place < 3) {
    const u64 offset = copies[place] * block_bytes + random.below(300);
    flip_byte(device, offset, random);
    return {fmt::format("a byte at {} of superblock copy {}", offset, place + 1), {}, true};
  }
  const u64 map = format::pool_map_block(superblock.map_sequence) * block_bytes;
  const u64 bytes = read_as<format::PoolMapHeader>(read(device, map, sizeof(format::PoolMapHeader)), 0).bytes;
  const u64 offset = map + random.below(bytes);
  flip_byte(device, offset, random);
  return {fmt::format("a byte at {} of the map of the devices", offset), {}, true};
}

Planted plant(const MetadataEditor& editor, const Medium& medium, const std::string& finding_class, u64 seed) {
  if (finding_class == "data_unreadable")
    return {{}, "an image file cannot refuse to be read: a device has to, such as the simulator's"};
  if (finding_class == "superblock_copy_damaged")
    return plant_in_superblocks(medium, editor.superblock().capacity_blocks, editor.superblock(), seed);
  const auto known = plants().find(finding_class);
  if (known == plants().end()) return {{}, "there is no class " + finding_class + ": see cowfs check --classes"};
  Planter planter(editor, medium, seed);
  std::string what = (planter.*known->second)();
  if (what.empty()) return {{}, "the filesystem has nothing that could be damaged this way"};
  return {std::move(what), {}, planter.only_flipped()};
}

}  // namespace cowfs::repair
