#include "engine/format/values.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "engine/codec/hash.h"
#include "engine/format/activity.h"

namespace cowfs::format {
namespace {

// The low byte of value_invalid's value says why.
enum Why : u64 {
  wrong_size = 1,
  wrong_key = 2,
  wrong_enumeration = 3,
  wrong_count = 4,
  wrong_name = 5,
  wrong_address = 6,
  wrong_flags = 7,
  unknown_tree = 8,
};
constexpr u64 fine = 0;

constexpr u64 file_blocks_max = 1ull << 51;  // a file's size fits a signed 64-bit offset

template <typename T>
T read_front(ByteSpan value) {
  T object;
  std::memcpy(&object, value.data(), sizeof object);
  return object;
}

std::string_view text_of(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

bool known_type(u8 type) {
  switch (static_cast<FileType>(type)) {
    case FileType::fifo:
    case FileType::character:
    case FileType::directory:
    case FileType::block:
    case FileType::regular:
    case FileType::symlink:
    case FileType::socket: return true;
    case FileType::unknown: return false;
  }
  return false;
}

u64 check_inode(const Key& key, ByteSpan value) {
  if (value.size() != sizeof(InodeValue)) return wrong_size;
  if (key.inode == 0 || key.offset != 0) return wrong_key;
  const auto inode = read_front<InodeValue>(value);
  if (!known_type(static_cast<u8>((inode.mode & S_IFMT) >> 12)) || (inode.mode & ~u32{S_IFMT | 07777}) != 0)
    return wrong_enumeration;
  if ((inode.flags & ~u32{inode_truncating}) != 0) return wrong_flags;
  if (inode.size > file_blocks_max * block_bytes) return wrong_count;
  return fine;
}

u64 check_name(std::string_view name) {
  if (name == "." || name == "..") return wrong_name;
  const bool bad = std::any_of(name.begin(), name.end(), [](char c) { return c == '/' || c == '\0'; });
  return bad ? wrong_name : fine;
}

// Does an earlier entry of the chain have this name? The chain up to `end` is known to be well-formed.
bool named_before(ByteSpan chain, std::string_view name) {
  DirentChain earlier(chain);
  Dirent entry;
  while (earlier.next(entry))
    if (entry.name == name) return true;
  return false;
}

u64 check_dirents(const Key& key, ByteSpan value) {
  if (key.inode == 0 || key.offset == 0 || (key.offset & ~dirent_hash_mask) != 0) return wrong_key;
  if (value.empty()) return wrong_size;
  ByteSpan rest = value;
  for (unsigned count = 0; !rest.empty(); ++count) {
    if (count == dirent_chain_max) return wrong_count;
    if (rest.size() < sizeof(DirentHeader)) return wrong_size;
    const auto header = read_front<DirentHeader>(rest);
    const ByteSpan earlier = value.first(value.size() - rest.size());
    rest = rest.subspan(sizeof header);
    if (header.name_bytes == 0 || rest.size() < header.name_bytes) return wrong_size;
    if (header.inode == 0) return wrong_address;
    if (!known_type(header.type)) return wrong_enumeration;
    const std::string_view name = text_of(rest.first(header.name_bytes));
    if (check_name(name) != fine || named_before(earlier, name)) return wrong_name;
    rest = rest.subspan(header.name_bytes);
  }
  return fine;
}

u64 check_xattrs(const Key& key, ByteSpan value) {
  if (key.inode == 0) return wrong_key;
  if (value.empty()) return wrong_size;
  for (ByteSpan rest = value; !rest.empty();) {
    if (rest.size() < sizeof(XattrHeader)) return wrong_size;
    const auto header = read_front<XattrHeader>(rest);
    rest = rest.subspan(sizeof header);
    if (header.name_bytes == 0 || rest.size() < u64{header.name_bytes} + header.value_bytes) return wrong_size;
    if (header.reserved != 0) return wrong_flags;
    if (text_of(rest.first(header.name_bytes)).find('\0') != std::string_view::npos) return wrong_name;
    rest = rest.subspan(u64{header.name_bytes} + header.value_bytes);
  }
  return fine;
}

u64 check_data_extent(const ExtentHeader& header, ByteSpan rest) {
  if (header.replicas == 0 || header.replicas > extent_replicas_max || header.inline_bytes != 0) return wrong_count;
  if (!is_checksum_kind(header.checksum_kind)) return wrong_enumeration;
  const std::size_t checksum_bytes = codec::checksum_bytes(static_cast<ChecksumKind>(header.checksum_kind));
  if (rest.size() != header.replicas * sizeof(ReplicaPointer) + header.blocks * checksum_bytes) return wrong_size;
  for (u8 i = 0; i < header.replicas; ++i)
    if (read_front<ReplicaPointer>(rest.subspan(i * sizeof(ReplicaPointer))).address == 0) return wrong_address;
  return fine;
}

u64 check_extent(const Key& key, ByteSpan value) {
  if (value.size() < sizeof(ExtentHeader)) return wrong_size;
  const auto header = read_front<ExtentHeader>(value);
  const ByteSpan rest = value.subspan(sizeof header);
  if (key.inode == 0) return wrong_key;
  if (header.blocks == 0 || header.blocks > extent_blocks_max) return wrong_count;
  if (key.offset >= file_blocks_max) return wrong_key;
  if (header.compression != 0) return wrong_enumeration;
  switch (static_cast<ExtentKind>(header.kind)) {
    case ExtentKind::data: return check_data_extent(header, rest);
    case ExtentKind::inline_data:
      if (header.replicas != 0 || header.checksum_kind != 0 || header.blocks != 1) return wrong_flags;
      return header.inline_bytes <= inline_bytes_max && rest.size() == header.inline_bytes ? fine : u64{wrong_size};
    case ExtentKind::unwritten:
    case ExtentKind::lost:
      if (header.replicas != 0 || header.checksum_kind != 0 || header.inline_bytes != 0) return wrong_flags;
      return rest.empty() ? fine : u64{wrong_size};
  }
  return wrong_enumeration;
}

u64 check_backpointer(ByteSpan value) {
  if (value.size() != sizeof(BackpointerValue)) return wrong_size;
  const auto pointer = read_front<BackpointerValue>(value);
  if (pointer.inode == 0 || pointer.offset() >= file_blocks_max) return wrong_address;
  return pointer.blocks() >= 1 && pointer.blocks() <= extent_blocks_max ? fine : u64{wrong_count};
}

u64 check_value(TreeId tree, const Key& key, ByteSpan value) {
  if (key == key_max) return wrong_key;  // a scan goes on behind the last key that it saw
  switch (tree) {
    case TreeId::inodes: return check_inode(key, value);
    case TreeId::dirents: return check_dirents(key, value);
    case TreeId::xattrs: return check_xattrs(key, value);
    case TreeId::extents: return check_extent(key, value);
    case TreeId::leases: return value.size() == sizeof(LeaseValue) ? fine : u64{wrong_size};
    case TreeId::alloc: return value.size() == sizeof(AllocValue) ? fine : u64{wrong_size};
    case TreeId::backpointers: return check_backpointer(value);
    case TreeId::orphans: return value.empty() ? fine : u64{wrong_size};
    case TreeId::counters: return value.size() == sizeof(CounterValue) ? fine : u64{wrong_size};
  }
  return unknown_tree;
}

std::string printable(std::string_view name) {
  std::string text;
  for (const char c : name) {
    if (c >= ' ' && c <= '~' && c != '\\')
      text += c;
    else
      text += fmt::format("\\x{:02x}", static_cast<u8>(c));
  }
  return text;
}

std::string extent_text(ByteSpan value) {
  const Extent extent = decode_extent(value);
  switch (extent.kind) {
    case ExtentKind::inline_data: return fmt::format("inline {} bytes", extent.inline_bytes.size());
    case ExtentKind::unwritten: return fmt::format("unwritten {} blocks", extent.blocks);
    case ExtentKind::lost: return fmt::format("lost {} blocks", extent.blocks);
    case ExtentKind::data: break;
  }
  const bool checked = extent.checksum_kind != ChecksumKind::none;
  return fmt::format("{} blocks at {}:{} generation {}{}{}", extent.blocks, extent.address.device(), extent.address.block(),
                     extent.generation, checked ? " " : "", checked ? name(extent.checksum_kind) : "");
}

std::string value_text(TreeId tree, ByteSpan value) {
  std::string text;
  switch (tree) {
    case TreeId::inodes: {
      const auto inode = read_front<InodeValue>(value);
      return fmt::format("mode {:o} links {} user {} group {} size {} blocks {} parent {:#x} modified {} flags {:#x}",
                         u32{inode.mode}, u32{inode.links}, u32{inode.user}, u32{inode.group}, u64{inode.size},
                         u64{inode.blocks}, u64{inode.parent}, u64{inode.modify_ns}, u32{inode.flags});
    }
    case TreeId::dirents: {
      DirentChain chain(value);
      Dirent entry;
      while (chain.next(entry)) {
        if (!text.empty()) text += ", ";
        text += fmt::format("\"{}\" -> {:#x} type {}", printable(entry.name), entry.inode, static_cast<u8>(entry.type));
      }
      return text;
    }
    case TreeId::xattrs:
      for (ByteSpan rest = value; !rest.empty();) {
        const auto header = read_front<XattrHeader>(rest);
        rest = rest.subspan(sizeof header);
        if (!text.empty()) text += ", ";
        text +=
            fmt::format("\"{}\" {} bytes", printable(text_of(rest.first(header.name_bytes))), u16{header.value_bytes});
        rest = rest.subspan(u64{header.name_bytes} + header.value_bytes);
      }
      return text;
    case TreeId::extents: return extent_text(value);
    case TreeId::leases: return fmt::format("slice {}", u16{read_front<LeaseValue>(value).slice});
    case TreeId::alloc: {
      const auto alloc = read_front<AllocValue>(value);
      return fmt::format("generation {} live {} stream {}", u32{alloc.generation}, u32{alloc.live_blocks},
                         alloc.stream);
    }
    case TreeId::backpointers: {
      const auto pointer = read_front<BackpointerValue>(value);
      return fmt::format("inode {:#x} offset {} blocks {}", u64{pointer.inode}, pointer.offset(), pointer.blocks());
    }
    case TreeId::orphans: return "pending";
    case TreeId::counters: {
      const Totals totals = decode_counter(value);
      return fmt::format("count {} bytes {} timed {}", totals.count, totals.bytes, totals.timed());
    }
  }
  return text;
}

}  // namespace

u64 dirent_hash(std::string_view name, u64 seed) {
  const u64 hash = codec::xxh3(name, seed) & dirent_hash_mask;
  return hash != 0 ? hash : dirent_place_mask + 1;
}

Extent decode_extent(ByteSpan value) {
  const auto header = read_front<ExtentHeader>(value);
  Extent extent{.kind = static_cast<ExtentKind>(header.kind),
                .checksum_kind = static_cast<ChecksumKind>(header.checksum_kind),
                .blocks = header.blocks,
                .address = {},
                .generation = 0,
                .checksums = nullptr,
                .inline_bytes = {}};
  const ByteSpan rest = value.subspan(sizeof header);
  if (extent.kind == ExtentKind::inline_data) {
    extent.inline_bytes = rest.first(header.inline_bytes);
  } else if (extent.kind == ExtentKind::data) {
    const auto pointer = read_front<ReplicaPointer>(rest);
    extent.address = {pointer.address};
    extent.generation = pointer.generation;
    extent.checksums = rest.data() + header.replicas * sizeof(ReplicaPointer);
  }
  return extent;
}

ExtentValue ExtentValue::data(Address address, u32 generation, u32 blocks, ChecksumKind kind, const std::byte* checksums) {
  assert(blocks >= 1 && blocks <= extent_blocks_max && address);
  ExtentValue value;
  const ExtentHeader header{.kind = static_cast<u8>(ExtentKind::data),
                            .checksum_kind = static_cast<u8>(kind),
                            .compression = 0,
                            .replicas = 1,
                            .blocks = static_cast<u16>(blocks),
                            .inline_bytes = 0};
  const ReplicaPointer pointer{address.value, generation};
  std::memcpy(value.bytes_.data(), &header, sizeof header);
  std::memcpy(value.bytes_.data() + sizeof header, &pointer, sizeof pointer);
  const std::size_t checksum_bytes = blocks * codec::checksum_bytes(kind);
  std::memcpy(value.bytes_.data() + sizeof header + sizeof pointer, checksums, checksum_bytes);
  value.size_ = static_cast<u32>(sizeof header + sizeof pointer + checksum_bytes);
  return value;
}

ExtentValue ExtentValue::unwritten(u32 blocks) { return without_content(ExtentKind::unwritten, blocks); }
ExtentValue ExtentValue::lost(u32 blocks) { return without_content(ExtentKind::lost, blocks); }

ExtentValue ExtentValue::without_content(ExtentKind kind, u32 blocks) {
  assert(blocks >= 1 && blocks <= extent_blocks_max);
  ExtentValue value;
  const ExtentHeader header{.kind = static_cast<u8>(kind),
                            .checksum_kind = 0,
                            .compression = 0,
                            .replicas = 0,
                            .blocks = static_cast<u16>(blocks),
                            .inline_bytes = 0};
  std::memcpy(value.bytes_.data(), &header, sizeof header);
  value.size_ = sizeof header;
  return value;
}

ExtentValue ExtentValue::inline_data(ByteSpan bytes) {
  assert(bytes.size() <= inline_bytes_max);
  ExtentValue value;
  const ExtentHeader header{.kind = static_cast<u8>(ExtentKind::inline_data),
                            .checksum_kind = 0,
                            .compression = 0,
                            .replicas = 0,
                            .blocks = 1,
                            .inline_bytes = static_cast<u16>(bytes.size())};
  std::memcpy(value.bytes_.data(), &header, sizeof header);
  if (!bytes.empty()) std::memcpy(value.bytes_.data() + sizeof header, bytes.data(), bytes.size());
  value.size_ = static_cast<u32>(sizeof header + bytes.size());
  return value;
}

ExtentValue ExtentValue::slice_of(const Extent& extent, u32 from, u32 blocks) {
  assert(blocks >= 1 && from + blocks <= extent.blocks);
  if (extent.kind == ExtentKind::unwritten || extent.kind == ExtentKind::lost) return without_content(extent.kind, blocks);
  assert(extent.kind == ExtentKind::data);
  return data(extent.address.plus(from), extent.generation, blocks, extent.checksum_kind, extent.checksum_of(from));
}

bool belongs_to(u16 slice, TreeId tree, const Key& key) {
  switch (tree) {
    case TreeId::inodes:
    case TreeId::dirents:
    case TreeId::xattrs:
    case TreeId::orphans:
      return slice_of(key.inode) == slice;
    case TreeId::leases:
    case TreeId::counters:
      return slice == 0;
    case TreeId::extents:  // a region of any file
    case TreeId::alloc:
    case TreeId::backpointers:
      return true;
  }
  return false;
}

Status validate_value(TreeId tree, const Key& key, ByteSpan value) {
  const u64 why = check_value(tree, key, value);
  if (why == fine) return {};
  return Error{Code::value_invalid, static_cast<u64>(tree) << 56 | why, {.tree = static_cast<u32>(tree)}};
}

std::string to_text(TreeId tree, const Key& key, ByteSpan value) {
  const std::string where =
      fmt::format("{} {:#x}:{}:{}", name(tree), key.inode, key.offset,
                  key.snapshot == snapshot_live ? std::string("live") : fmt::format("{}", key.snapshot));
  if (check_value(tree, key, value) != fine) return fmt::format("{} malformed, {} bytes", where, value.size());
  return fmt::format("{} {}", where, value_text(tree, value));
}

}  // namespace cowfs::format
