// A node in memory: bookkeeping beside a 16 KiB image that has the layout of format/node.h. Operations on one image
// only; what nodes are to each other is the tree's business.
//
// A node's image is found by arithmetic (see NodePool): the bookkeeping and the image can be fetched at the same time.
#pragma once
#include <vector>

#include "engine/base/assert.h"
#include "engine/format/node.h"

namespace cowfs::btree {

using format::Key;
using format::NodeHeader;
using format::NodePointer;
using format::Slot;

class Tree;

// True when a slot's key is before `key`; no branches, a binary search cannot predict them.
inline bool is_less(const Slot& slot, const Key& key) {
  const auto slot_place = u128{slot.inode} << 64 | slot.offset;
  const auto key_place = u128{key.inode} << 64 | key.offset;
  return (slot_place < key_place) | ((slot_place == key_place) & (slot.snapshot < key.snapshot));
}

// The greatest key before `key`, which is not key_min.
Key predecessor(const Key& key);
// The smallest key after `key`, which is not key_max.
Key successor(const Key& key);

class alignas(128) Node {
 public:
  static constexpr u32 capacity_bytes = format::node_bytes - sizeof(NodeHeader);  // slots and values
  static constexpr u64 chunk_bytes = 2 * mib;

  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  std::byte* image() const {
    const u64 self = reinterpret_cast<u64>(this);
    const u64 index = (self % chunk_bytes) / sizeof(Node);
    return reinterpret_cast<std::byte*>(round_down(self, chunk_bytes) + (index + 1) * format::node_bytes);
  }
  NodeHeader& header() const { return *reinterpret_cast<NodeHeader*>(image()); }
  Slot* slots() const { return reinterpret_cast<Slot*>(image() + sizeof(NodeHeader)); }

  u32 count() const { return header().count; }
  u8 level() const { return level_; }
  bool is_leaf() const { return level_ == 0; }
  Key key(u32 slot) const { return slots()[slot].key(); }
  // Every key of the node is in [first, last]; neighbours have no gap between them.
  Key first() const { return header().first.key(); }
  Key last() const { return header().last.key(); }
  bool covers(const Key& wanted) const { return first() <= wanted && wanted <= last(); }

  ByteSpan value(u32 slot) const {
    const Slot& entry = slots()[slot];
    return {image() + entry.value_offset, entry.value_bytes};
  }
  NodePointer pointer(u32 slot) const;
  void set_pointer(u32 slot, const NodePointer& pointer);

  // The first slot whose key is not before `key`; count() when there is none.
  u32 lower_bound(const Key& key) const;
  // Leaf: asks memory for the slots that lower_bound(key) would look at, most likely.
  void fetch_near(const Key& key) const;
  // Interior: the slot whose range holds `key`, which is in [first, last].
  u32 child_slot(const Key& key) const;
  // Interior: the last key that slot's child may hold.
  Key slot_last(u32 slot) const { return slot + 1 == count() ? last() : predecessor(key(slot + 1)); }

  // Bytes of slots and live values; at most capacity_bytes.
  u32 used_bytes() const { return count() * u32{sizeof(Slot)} + format::node_bytes - heap_begin_ - dead_bytes_; }
  bool fits(std::size_t value_bytes, u32 limit_bytes = capacity_bytes) const {
    return used_bytes() + sizeof(Slot) + value_bytes <= limit_bytes;
  }

  // Makes this an empty node.
  void reset(const format::NodeIdentity& identity, u8 level, const Key& first, const Key& last);
  void set_key(u32 slot, const Key& key);
  void set_first(const Key& first) { header().first = format::PackedKey::of(first); }
  void set_last(const Key& last) { header().last = format::PackedKey::of(last); }

  // Precondition: fits(value.size()). `value` may be in this image, here and in replace().
  void insert(u32 slot, const Key& key, ByteSpan value);
  // Precondition: fits_instead(slot, value.size()).
  void replace(u32 slot, ByteSpan value);
  bool fits_instead(u32 slot, std::size_t value_bytes) const;
  void remove(u32 slot);

  // Moves slots [from, count) to the end of `to`, which has room; children go along, their parent is `to` then.
  void move_tail(u32 from, Node& to);
  // The slot at which half of the bytes are on either side; in [1, count - 1]. Precondition: two slots or more.
  u32 middle() const;

  // Copies the image without its free space to `to` (node_bytes long, the padding zeroed); returns the image's length.
  u32 squeeze(std::byte* to) const;
  // Takes the image at image(), which is as squeeze() made it and validated, apart so that it can be changed.
  void unsqueeze();
  // Makes this a copy of `other`: image and children.
  void copy_from(const Node& other);

  Tree* tree = nullptr;           // null: not in use, or a shadow or a buffer
  Node* parent = nullptr;         // null: the root; free nodes: the next free one
  std::vector<Node*> children;    // interior: one a slot; null: not resident
  Node* shadow = nullptr;         // the image as the running checkpoint has to write it; null: the image itself
  u64 dirty_generation = 0;       // of the tree when it became dirty; 0: clean
  NodePointer location{};         // the newest image on the medium; absent: never written
  u64 used_at = 0;                // by the pool's count of holds
  u32 dirty_index = 0;            // in the tree's list of dirty nodes of this generation
  bool pending = false;           // the running checkpoint has to write it, and it has become dirty again
  bool removed = false;           // not in the tree any more; alive because the running checkpoint looks at it
  bool referenced = false;        // since the eviction clock came by
  bool in_use = false;

 private:
  void compact();
  u32 free_bytes() const { return heap_begin_ - u32{sizeof(NodeHeader)} - count() * u32{sizeof(Slot)}; }

  u8 level_ = 0;
  u16 heap_begin_ = format::node_bytes;  // values are in [heap_begin, node_bytes)
  u16 dead_bytes_ = 0;                   // of them, bytes that no slot names
};
static_assert(sizeof(Node) == 128);

}  // namespace cowfs::btree
