// A btree node, the same in memory and on the medium:
//
//   NodeHeader | Slot slots[count], ascending | free | values, growing down from the end
//
// On the medium the free space is squeezed out and the image is padded to whole blocks. A leaf's values are the tree's;
// an interior node's values are NodePointers, and slot i covers keys from slots[i] up to slots[i+1]; slot 0's key is
// the node's `first`.
#pragma once
#include "engine/base/result.h"
#include "engine/format/address.h"
#include "engine/format/key.h"
#include "engine/format/seal.h"

namespace cowfs::format {

constexpr u32 node_magic = 0x4e574f43;  // "COWN"
constexpr u32 node_bytes = 16 * kib;     // in memory; an image is at most this long
constexpr u32 node_value_bytes_max = 2 * kib;
constexpr u8 node_level_max = 8;

struct Slot {  // 24 bytes
  le64 inode;
  le64 offset;
  le32 snapshot;
  le16 value_offset;  // from the start of the image
  le16 value_bytes;
  Key key() const { return {inode, offset, snapshot}; }
};
static_assert(sizeof(Slot) == 24);

struct PackedKey {  // 20 bytes
  le64 inode;
  le64 offset;
  le32 snapshot;
  Key key() const { return {inode, offset, snapshot}; }
  static PackedKey of(const Key& key) { return {key.inode, key.offset, key.snapshot}; }
};
static_assert(sizeof(PackedKey) == 20);

struct NodeHeader {  // 96 bytes
  le64 checksum;      // of every byte of the image after it, up to image_bytes: see seal.h
  le32 magic;         // node_magic
  le64 filesystem;    // first 8 bytes of the filesystem's UUID
  le64 address;       // where this image was written: a misdirected one is found
  le64 epoch;         // of the checkpoint that wrote it
  le32 image_bytes;   // header, slots and values, before padding
  le16 count;         // slots
  le16 slice;
  u8 tree;            // TreeId
  u8 level;           // 0 is a leaf
  u8 checksum_kind;   // ChecksumKind
  u8 reserved;
  PackedKey first;    // every key of the node is in [first, last]
  PackedKey last;
  le64 reserved2;
};
static_assert(sizeof(NodeHeader) == 96);

// An interior node's value, and a slice header's root.
struct NodePointer {  // 24 bytes
  le64 address;       // Address; 0: no node (an empty tree's root)
  le64 epoch;         // must equal the node's: a lost write is found
  le32 checksum;      // must equal the low half of the node's
  le32 image_bytes;
  bool present() const { return address != 0; }
  u64 blocks() const { return (image_bytes + block_bytes - 1) / block_bytes; }
};
static_assert(sizeof(NodePointer) == 24);

constexpr u64 node_blocks_max = node_bytes / block_bytes;

struct NodeIdentity {
  u64 filesystem = 0;
  u16 slice = 0;
  TreeId tree = TreeId::inodes;
};

// Everything that can be said of an image by itself: magic, identity, bounds, order of keys, value ranges that neither
// overlap the slots nor each other, checksum. `image` is at least pointer.image_bytes long.
// Errors, all of class corrupt, place filled in: btree_node_magic_mismatch, btree_node_checksum_mismatch,
// btree_node_identity_mismatch, btree_node_pointer_mismatch, btree_node_layout_invalid.
Status validate_node(ByteSpan image, const NodePointer& pointer, const NodeIdentity& expected, u8 level);

}  // namespace cowfs::format
