// Values of every tree: one byte for the tree, a packed key, and the value. A value that is found valid can be walked,
// printed and cut without another check.
#include "engine/format/values.h"

#include "engine/base/assert.h"
#include "engine/base/fuzz.h"
#include "engine/format/activity.h"
#include "engine/format/node.h"

namespace cowfs::fuzz {
namespace {

using format::Extent;
using format::ExtentKind;
using format::ExtentValue;
using format::TreeId;

void try_extent(const format::Key& key, ByteSpan value) {
  const Extent extent = format::decode_extent(value);
  assert(extent.blocks >= 1 && extent.blocks <= format::extent_blocks_max);
  if (extent.kind == ExtentKind::inline_data) {
    assert(extent.inline_bytes.size() <= format::inline_bytes_max);
    return;
  }
  const u32 half = (extent.blocks + 1) / 2;
  const ExtentValue front = ExtentValue::slice_of(extent, 0, half);
  assert(format::validate_value(TreeId::extents, key, front.bytes()).ok());
  assert(format::decode_extent(front.bytes()).blocks == half);
}

void try_names(ByteSpan value) {
  format::DirentChain chain(value);
  format::Dirent entry;
  unsigned names = 0;
  while (chain.next(entry)) {
    ++names;
    assert(!entry.name.empty() && entry.name.size() <= format::name_bytes_max);
  }
  assert(names <= format::dirent_chain_max);
}

}  // namespace

void try_input(ByteSpan input) {
  if (input.size() < 1 + sizeof(format::PackedKey)) return;
  const auto tree = static_cast<TreeId>(input[0]);
  const format::Key key = front_of<format::PackedKey>(input.subspan(1)).key();
  const std::vector<std::byte> value = copy_of(input.subspan(1 + sizeof(format::PackedKey)));
  if (!format::validate_value(tree, key, value).ok()) return;
  assert(!format::to_text(tree, key, value).empty());
  if (tree == TreeId::extents) try_extent(key, value);
  if (tree == TreeId::dirents) try_names(value);
}

std::vector<std::vector<std::byte>> seeds() {
  std::vector<std::vector<std::byte>> all;
  const auto add = [&all](TreeId tree, const format::Key& key, ByteSpan value) {
    std::vector<std::byte> seed{static_cast<std::byte>(tree)};
    const auto packed = format::PackedKey::of(key);
    for (const ByteSpan part : {bytes_of(packed), value}) seed.insert(seed.end(), part.begin(), part.end());
    all.push_back(std::move(seed));
  };
  format::BlockChecksums checksums{};
  const format::Key key{9, 0, format::snapshot_live};
  for (const ChecksumKind kind : checksum_kinds) {
    checksums.kind = kind;
    add(TreeId::extents, key, ExtentValue::data(format::Address{5000}, 7, 4, checksums).bytes());
  }
  add(TreeId::extents, key, ExtentValue::unwritten(8).bytes());
  add(TreeId::extents, key, ExtentValue::inline_data(bytes_of(key)).bytes());
  format::InodeValue inode{};
  inode.mode = 0100644;
  inode.links = 1;
  add(TreeId::inodes, key, bytes_of(inode));
  const std::string_view name = "name";
  const format::DirentHeader header{u64{9}, static_cast<u8>(format::FileType::regular), static_cast<u8>(name.size())};
  std::vector<std::byte> dirent = copy_of(bytes_of(header));
  const ByteSpan text{reinterpret_cast<const std::byte*>(name.data()), name.size()};
  dirent.insert(dirent.end(), text.begin(), text.end());
  add(TreeId::dirents, {1, format::dirent_hash(name, 0), format::snapshot_live}, dirent);
  add(TreeId::xattrs, key, {});
  add(TreeId::leases, {100, 0, 0}, bytes_of(format::LeaseValue{}));
  add(TreeId::alloc, {100, 0, 0}, bytes_of(format::AllocValue{}));
  add(TreeId::backpointers, {100, 3, 0}, bytes_of(format::BackpointerValue{}));
  add(TreeId::counters, {1, 0, 0}, bytes_of(format::CounterValue{}));
  return all;
}

}  // namespace cowfs::fuzz
