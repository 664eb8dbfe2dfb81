#include "engine/format/values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/format/activity.h"

namespace cowfs::format {
namespace {

using Value = std::vector<std::byte>;

void append(Value& value, ByteSpan bytes) {
  const std::size_t size = value.size();
  value.resize(size + bytes.size());
  std::copy(bytes.begin(), bytes.end(), value.data() + size);
}

Value dirent(std::string_view name, u64 inode = 7, FileType type = FileType::regular) {
  Value value;
  const DirentHeader header{inode, static_cast<u8>(type), static_cast<u8>(name.size())};
  append(value, bytes_of(header));
  append(value, std::as_bytes(std::span(name)));
  return value;
}

Value operator+(Value left, const Value& right) {
  append(left, right);
  return left;
}

Value inode(u32 mode, u64 size = 0, u32 flags = 0) {
  InodeValue value{};
  value.mode = mode;
  value.size = size;
  value.flags = flags;
  Value bytes;
  append(bytes, bytes_of(value));
  return bytes;
}

Value copy(const ExtentValue& extent) { return {extent.bytes().begin(), extent.bytes().end()}; }

Value with(Value value, std::size_t at, u8 byte) {
  value[at] = std::byte{byte};
  return value;
}

Value shortened(Value value) {
  value.pop_back();
  return value;
}

BlockChecksums sums_of(ChecksumKind kind) {
  BlockChecksums sums;
  sums.kind = kind;
  for (std::size_t i = 0; i < sums.bytes.size(); ++i) sums.bytes[i] = static_cast<std::byte>(i * 77);
  return sums;
}

TEST(Values, valid_and_malformed) {
  const Key file{5, 0, snapshot_live};
  const Key hashed{5, 0x10, snapshot_live};
  const Value data = copy(ExtentValue::data(Address::of(0, 99), 3, extent_blocks_max, sums_of(ChecksumKind::crc32c)));
  Value long_chain;
  for (int i = 0; i < 16; ++i) long_chain = long_chain + dirent(std::string(1, static_cast<char>('a' + i)));
  struct Case {
    const char* name;
    TreeId tree;
    Key key;
    Value value;
    bool valid;
  };
  const Case cases[] = {
      {"inode", TreeId::inodes, file, inode(0100644), true},
      {"inode short", TreeId::inodes, file, shortened(inode(0100644)), false},
      {"inode key", TreeId::inodes, hashed, inode(0100644), false},
      {"inode type", TreeId::inodes, file, inode(0644), false},
      {"inode mode", TreeId::inodes, file, inode(0x10000 | 0100644), false},
      {"inode flags", TreeId::inodes, file, inode(0100644, 0, 0x80), false},
      {"inode size", TreeId::inodes, file, inode(0100644, ~0ull), false},
      {"dirent", TreeId::dirents, hashed, dirent("name"), true},
      {"dirent chain", TreeId::dirents, hashed, dirent("name") + dirent("other"), true},
      {"dirent long name", TreeId::dirents, hashed, dirent(std::string(255, 'n')), true},
      // Cookies 1 and 2 are "." and "..": a hash of 0 made readdir begin again for ever.
      {"dirent hash 0", TreeId::dirents, {42, 0, snapshot_live}, dirent("name"), false},
      {"dirent hash of a cookie", TreeId::dirents, {42, 17, snapshot_live}, dirent("name"), false},
      {"dirent hash too large", TreeId::dirents, {42, 1ull << 63, snapshot_live}, dirent("name"), false},
      {"dirent twice", TreeId::dirents, hashed, dirent("name") + dirent("name"), false},
      {"dirent chain too long", TreeId::dirents, hashed, long_chain, false},
      {"dirent empty", TreeId::dirents, hashed, {}, false},
      {"dirent cut", TreeId::dirents, hashed, shortened(dirent("name")), false},
      {"dirent no name", TreeId::dirents, hashed, dirent(""), false},
      {"dirent slash", TreeId::dirents, hashed, dirent("a/b"), false},
      {"dirent NUL", TreeId::dirents, hashed, dirent(std::string_view("a\0b", 3)), false},
      {"dirent dot", TreeId::dirents, hashed, dirent("."), false},
      {"dirent dot dot", TreeId::dirents, hashed, dirent(".."), false},
      {"dirent inode", TreeId::dirents, hashed, dirent("name", 0), false},
      {"dirent type", TreeId::dirents, hashed, dirent("name", 7, FileType{3}), false},
      {"dirent key", TreeId::dirents, {5, 0x11, snapshot_live}, dirent("name"), false},
      {"xattr", TreeId::xattrs, hashed, {std::byte{1}, {}, std::byte{1}, {}, std::byte{'n'}, std::byte{'v'}}, true},
      {"xattr cut",
       TreeId::xattrs,
       hashed,
       {std::byte{1}, {}, std::byte{2}, {}, std::byte{'n'}, std::byte{'v'}},
       false},
      {"xattr no name", TreeId::xattrs, hashed, {{}, {}, std::byte{1}, {}, std::byte{'v'}}, false},
      {"data", TreeId::extents, file, data, true},
      {"data short", TreeId::extents, file, shortened(data), false},
      {"data blocks", TreeId::extents, file, with(data, 4, 65), false},
      {"data no blocks", TreeId::extents, file, with(data, 4, 0), false},
      {"data kind", TreeId::extents, file, with(data, 0, 9), false},
      {"data checksum kind", TreeId::extents, file, with(data, 1, 9), false},
      {"data of a shorter checksum", TreeId::extents, file, with(data, 1, 0), false},
      {"data of a longer checksum", TreeId::extents, file, with(data, 1, 2), false},
      {"data replicas", TreeId::extents, file, with(data, 3, 0), false},
      {"data compression", TreeId::extents, file, with(data, 2, 1), false},
      {"unwritten", TreeId::extents, file, copy(ExtentValue::unwritten(64)), true},
      {"inline", TreeId::extents, file, copy(ExtentValue::inline_data(Value(inline_bytes_max))), true},
      {"inline cut", TreeId::extents, file, shortened(copy(ExtentValue::inline_data(Value(10)))), false},
      {"lease", TreeId::leases, file, Value(4), true},
      {"lease long", TreeId::leases, file, Value(5), false},
      {"counter", TreeId::counters, file, Value(sizeof(CounterValue)), true},
      {"counter short", TreeId::counters, file, Value(sizeof(CounterValue) - 8), false},
      {"alloc", TreeId::alloc, file, Value(16), true},
      {"alloc short", TreeId::alloc, file, Value(15), false},
      {"backpointer of nothing", TreeId::backpointers, file, Value(16), false},
      {"orphan", TreeId::orphans, file, {}, true},
      {"no such tree", TreeId{99}, file, {}, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Status status = validate_value(c.tree, c.key, c.value);
    EXPECT_EQ(status.ok(), c.valid);
    EXPECT_EQ(to_text(c.tree, c.key, c.value).find("malformed") == std::string::npos, c.valid);
    if (status.ok()) continue;
    EXPECT_EQ(status.error().value >> 56, static_cast<u64>(c.tree));
  }
}

TEST(Values, extents_round_trip) {
  for (const ChecksumKind kind : checksum_kinds) {
    SCOPED_TRACE(name(kind));
    const BlockChecksums checksums = sums_of(kind);
    const ExtentValue whole = ExtentValue::data(Address::of(1, 5000), 42, 20, checksums);
    EXPECT_TRUE(validate_value(TreeId::extents, {9, 0, snapshot_live}, whole.bytes()).ok());
    const Extent extent = decode_extent(whole.bytes());
    EXPECT_EQ(extent.kind, ExtentKind::data);
    EXPECT_EQ(extent.checksum_kind, kind);
    EXPECT_EQ(extent.blocks, 20u);
    EXPECT_EQ(extent.address, Address::of(1, 5000));
    EXPECT_EQ(extent.generation, 42u);
    const ExtentValue part_value = ExtentValue::slice_of(extent, 5, 7);
    EXPECT_TRUE(validate_value(TreeId::extents, {9, 0, snapshot_live}, part_value.bytes()).ok());
    const Extent part = decode_extent(part_value.bytes());
    EXPECT_EQ(part.blocks, 7u);
    EXPECT_EQ(part.address, Address::of(1, 5005));
    EXPECT_EQ(part.checksum_kind, kind);
    EXPECT_TRUE(std::equal(part.checksum_of(0), part.checksum_of(7), checksums.of(5)));
  }
  const ExtentValue hole = ExtentValue::unwritten(9);
  const ExtentValue hole_part = ExtentValue::slice_of(decode_extent(hole.bytes()), 2, 3);
  EXPECT_EQ(decode_extent(hole_part.bytes()).blocks, 3u);
  const Value text(33, std::byte{'t'});
  const ExtentValue inlined = ExtentValue::inline_data(text);
  const Extent small = decode_extent(inlined.bytes());
  EXPECT_EQ(Value(small.inline_bytes.begin(), small.inline_bytes.end()), text);
}

TEST(Values, random_bytes_never_crash) {
  const u64 seed = 99;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (int round = 0; round < 50000; ++round) {
    Value value(random.below(120));
    for (std::byte& byte : value) byte = static_cast<std::byte>(random.one_in(3) ? random.next() : random.below(4));
    const auto tree = static_cast<TreeId>(random.below(tree_count + 1));
    const Key key{random.below(3), random.below(3) * 16, snapshot_live};
    EXPECT_FALSE(to_text(tree, key, value).empty());
  }
}

TEST(Values, hashes_leave_room_for_cookies) {
  for (int i = 0; i < 1000; ++i) {
    const u64 hash = dirent_hash(std::to_string(i), 17);
    EXPECT_EQ(hash & dirent_place_mask, 0u);
    EXPECT_LT(hash, 1ull << 63);
    EXPECT_GE(hash, 16u);
  }
  EXPECT_NE(dirent_hash("a", 1), dirent_hash("a", 2));
}

}  // namespace
}  // namespace cowfs::format
