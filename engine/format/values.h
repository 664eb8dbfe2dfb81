// The values of the trees: layout, encode, decode, validate.
#pragma once
#include <array>
#include <optional>
#include <string_view>

#include "engine/base/result.h"
#include "engine/codec/checksum.h"
#include "engine/format/address.h"
#include "engine/format/key.h"

namespace cowfs::format {

// inodes:

// slice << 48 | counter. Inode 1 (slice 0) is the root directory; 0 is none.
using InodeNumber = u64;
constexpr InodeNumber root_inode = 1;
constexpr u16 slice_of(InodeNumber inode) { return static_cast<u16>(inode >> 48); }
constexpr InodeNumber inode_number(u16 slice, u64 counter) { return static_cast<u64>(slice) << 48 | counter; }

enum InodeFlags : u32 {
  inode_truncating = 1,  // extents past `size` may remain; an orphan entry asks for their removal
};

struct InodeValue {  // 112 bytes
  le64 size;            // bytes; for a directory the number of entries
  le64 blocks;          // allocated data blocks, of this file's regions in the home slice
  le64 access_ns;       // since 1970
  le64 modify_ns;
  le64 change_ns;
  le64 birth_ns;
  le64 parent;          // directories: the parent directory; otherwise 0
  le64 device;          // special files: major << 32 | minor
  le32 mode;            // as in stat
  le32 user;
  le32 group;
  le32 links;           // directories: 2 + subdirectories
  le32 flags;           // InodeFlags
  le32 generation;
  le64 reserved[3];     // options per file: checksum, compression, replicas, ec, targets
};
static_assert(sizeof(InodeValue) == 112);

// dirents: one value holds every name of the directory with the same hash:

constexpr std::size_t name_bytes_max = 255;
constexpr unsigned dirent_chain_max = 15;

enum class FileType : u8 {
  unknown = 0,
  fifo = 1,
  character = 2,
  directory = 4,
  block = 6,
  regular = 8,
  symlink = 10,
  socket = 12
};

struct DirentHeader {  // 10 bytes, then the name without NUL
  le64 inode;
  u8 type;             // FileType (= DT_*)
  u8 name_bytes;       // 1..255
};
static_assert(sizeof(DirentHeader) == 10);

struct Dirent {
  InodeNumber inode = 0;
  FileType type = FileType::unknown;
  std::string_view name;  // into the value
};

// The key's offset: xxh3(name, seed) with the low four bits zero, where readdir cookies put the place in the chain, and
// the top bit zero, as a cookie is a signed offset. Never 0: cookies below 16 are "." and "..".
constexpr u64 dirent_place_mask = 15;
constexpr u64 dirent_hash_mask = ~(1ull << 63 | dirent_place_mask);
u64 dirent_hash(std::string_view name, u64 seed);

// Walks a chain; the value must have passed validate_value.
class DirentChain {
 public:
  explicit DirentChain(ByteSpan value) : rest_(value) {}
  bool next(Dirent& entry) {
    if (rest_.empty()) return false;
    DirentHeader header;
    std::memcpy(&header, rest_.data(), sizeof header);
    entry.inode = header.inode;
    entry.type = static_cast<FileType>(header.type);
    entry.name = {reinterpret_cast<const char*>(rest_.data()) + sizeof header, header.name_bytes};
    rest_ = rest_.subspan(sizeof header + header.name_bytes);
    return true;
  }

 private:
  ByteSpan rest_;
};

// xattrs: one value holds every attribute of the inode with the same hash:

struct XattrHeader {  // 4 bytes, then the name, then the value
  u8 name_bytes;      // 1..255
  u8 reserved;
  le16 value_bytes;
};
static_assert(sizeof(XattrHeader) == 4);

// extents:

// lost: what the blocks held is gone, and reading them is an error; only repair makes such extents.
enum class ExtentKind : u8 { data = 1, inline_data = 2, unwritten = 3, lost = 4 };

constexpr u32 extent_blocks_max = 64;      // 256 KiB
constexpr u32 inline_bytes_max = 1024;
constexpr u8 extent_replicas_max = 4;

struct ExtentHeader {  // 8 bytes
  u8 kind;             // ExtentKind
  u8 checksum_kind;    // ChecksumKind; data only
  u8 compression;      // 0: none
  u8 replicas;         // ReplicaPointers that follow; data only
  le16 blocks;         // of the file, 1..extent_blocks_max
  le16 inline_bytes;   // inline_data only: bytes that follow
};
static_assert(sizeof(ExtentHeader) == 8);

struct ReplicaPointer {  // 12 bytes
  le64 address;          // Address of the first block
  le32 generation;       // of the bucket when it was taken: must equal the bucket's
};
static_assert(sizeof(ReplicaPointer) == 12);

// A data extent, decoded: [ExtentHeader][ReplicaPointer x replicas][checksum of each block, none to 8 bytes by its kind]
struct Extent {
  ExtentKind kind = ExtentKind::data;
  ChecksumKind checksum_kind = ChecksumKind::none;
  u32 blocks = 0;
  Address address;     // of replica 0 (this version writes one)
  u32 generation = 0;
  const std::byte* checksums = nullptr;  // packed, into the value
  ByteSpan inline_bytes;                 // inline_data only

  const std::byte* checksum_of(u32 block) const { return checksums + block * codec::checksum_bytes(checksum_kind); }
};

// The checksums of the blocks of one extent that is being made or read, packed.
struct BlockChecksums {
  ChecksumKind kind = ChecksumKind::none;
  std::array<std::byte, extent_blocks_max * codec::checksum_bytes_max> bytes;

  // Of `blocks` blocks of `extent` from the block `from` on.
  void take(const Extent& extent, u32 from, u32 blocks) {
    kind = extent.checksum_kind;
    std::memcpy(of(0), extent.checksum_of(from), blocks * codec::checksum_bytes(kind));
  }
  std::byte* of(u32 block) { return bytes.data() + block * codec::checksum_bytes(kind); }
  const std::byte* of(u32 block) const { return bytes.data() + block * codec::checksum_bytes(kind); }
};

Extent decode_extent(ByteSpan value);  // the value must have passed validate_value

// Builds extent values without allocating.
class ExtentValue {
 public:
  static ExtentValue data(Address address, u32 generation, u32 blocks, const BlockChecksums& checksums) {
    return data(address, generation, blocks, checksums.kind, checksums.bytes.data());
  }
  static ExtentValue unwritten(u32 blocks);
  static ExtentValue lost(u32 blocks);
  static ExtentValue inline_data(ByteSpan bytes);
  // Blocks [from, from + blocks) of `extent`, which is not inline.
  static ExtentValue slice_of(const Extent& extent, u32 from, u32 blocks);
  ByteSpan bytes() const { return {bytes_.data(), size_}; }

 private:
  static ExtentValue without_content(ExtentKind kind, u32 blocks);
  static ExtentValue data(Address address, u32 generation, u32 blocks, ChecksumKind kind, const std::byte* checksums);

  std::array<std::byte, sizeof(ExtentHeader) + inline_bytes_max + 16> bytes_;
  u32 size_ = 0;
};

// derived and space trees:

struct LeaseValue {  // 4 bytes
  le16 slice;        // the owner of the bucket
  le16 reserved;
};

struct AllocValue {  // 16 bytes; a bucket without one holds no live data
  le32 generation;   // Epoch in which it was taken, low 32 bits
  le32 live_blocks;
  u8 stream;         // WritePoint: which kind of data it was written for
  u8 reserved[7];
};
static_assert(sizeof(AllocValue) == 16);

struct BackpointerValue {  // 16 bytes
  le64 inode;
  le64 offset_and_blocks;  // first block in the file << 8 | blocks
  u64 offset() const { return offset_and_blocks >> 8; }
  u32 blocks() const { return static_cast<u32>(offset_and_blocks & 0xff); }
};
static_assert(sizeof(BackpointerValue) == 16);

// Whether a tree of this slice may have this key at all.
bool belongs_to(u16 slice, TreeId tree, const Key& key);

// Checks one leaf value: lengths, enumerations, names without '/' or NUL, sizes within limits.
// Error value_invalid (class corrupt; value: TreeId << 56 | why).
Status validate_value(TreeId tree, const Key& key, ByteSpan value);

// One line for people.
std::string to_text(TreeId tree, const Key& key, ByteSpan value);

}  // namespace cowfs::format
