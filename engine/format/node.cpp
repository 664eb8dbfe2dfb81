#include "engine/format/node.h"

#include <array>

#include "engine/format/seal.h"

namespace cowfs::format {
namespace {

// Which bytes of an image are taken by values: finds overlaps in one pass, whatever the order of the values.
class ByteMap {
 public:
  // False when a byte of [from, from + count) was taken before. Precondition: the range ends within node_bytes.
  bool take(u32 from, u32 count) {
    while (count > 0) {
      const u32 bit = from % 64;
      const u32 here = std::min(count, 64 - bit);
      const u64 mask = (here == 64 ? ~0ull : (1ull << here) - 1) << bit;
      u64& word = words_[from / 64];
      if ((word & mask) != 0) return false;
      word |= mask;
      from += here;
      count -= here;
    }
    return true;
  }

 private:
  std::array<u64, node_bytes / 64> words_{};
};

template <typename T>
T read_at(ByteSpan image, std::size_t offset) {
  T object;
  std::memcpy(&object, image.data() + offset, sizeof object);
  return object;
}

// An interior node's values are pointers to nodes that are older than it or as old.
bool plausible_pointer(const NodePointer& pointer, u64 epoch) {
  return pointer.present() && pointer.epoch <= epoch && pointer.image_bytes >= sizeof(NodeHeader) &&
         pointer.image_bytes <= node_bytes;
}

// The slot that contradicts the header, the others or the image; `count` when there is none.
u32 bad_slot(ByteSpan image, const NodeHeader& header) {
  const u32 count = header.count;
  const u32 values_begin = static_cast<u32>(sizeof(NodeHeader) + count * sizeof(Slot));
  const Key first = header.first.key();
  const Key last = header.last.key();
  ByteMap taken;
  Key previous;
  for (u32 i = 0; i < count; ++i) {
    const Slot slot = read_at<Slot>(image, sizeof(NodeHeader) + i * sizeof(Slot));
    const Key key = slot.key();
    if (key < first || key > last || (i > 0 && key <= previous)) return i;
    previous = key;
    const u32 offset = slot.value_offset;
    const u32 bytes = slot.value_bytes;
    if (offset < values_begin || offset + bytes > image.size() || bytes > node_value_bytes_max) return i;
    if (!taken.take(offset, bytes)) return i;
    if (header.level == 0) continue;
    if (i == 0 && key != first) return i;
    if (bytes != sizeof(NodePointer) || !plausible_pointer(read_at<NodePointer>(image, offset), header.epoch)) return i;
  }
  return count;
}

}  // namespace

Status validate_node(ByteSpan image, const NodePointer& pointer, const NodeIdentity& expected, u8 level) {
  const Place place{.device = Address{pointer.address}.device(),
                    .slice = expected.slice,
                    .tree = static_cast<u32>(expected.tree),
                    .offset_bytes = Address{pointer.address}.offset_bytes()};
  const auto bad = [&](Code code, u64 value) { return Error{code, value, place}; };

  const u32 bytes = pointer.image_bytes;
  if (bytes < sizeof(NodeHeader) || bytes > node_bytes || bytes > image.size())
    return bad(Code::btree_node_layout_invalid, bytes);
  image = image.first(bytes);
  const auto header = read_at<NodeHeader>(image, 0);
  if (header.magic != node_magic) return bad(Code::btree_node_magic_mismatch, header.magic);
  if (header.image_bytes != bytes) return bad(Code::btree_node_pointer_mismatch, header.epoch);
  if (!seal_holds(image, header.checksum_kind))
    return bad(Code::btree_node_checksum_mismatch, header.checksum);
  if (seal_mark(header.checksum) != pointer.checksum || header.address != pointer.address || header.epoch != pointer.epoch)
    return bad(Code::btree_node_pointer_mismatch, header.epoch);
  if (header.filesystem != expected.filesystem || header.slice != expected.slice ||
      header.tree != static_cast<u8>(expected.tree) || header.level != level || level > node_level_max)
    return bad(Code::btree_node_identity_mismatch, u64{header.slice} << 16 | u64{header.tree} << 8 | header.level);

  const u32 count = header.count;
  if (sizeof(NodeHeader) + count * sizeof(Slot) > bytes || header.first.key() > header.last.key() ||
      (level > 0 && count == 0))
    return bad(Code::btree_node_layout_invalid, bytes);
  if (const u32 slot = bad_slot(image, header); slot != count) return bad(Code::btree_node_layout_invalid, slot);
  return {};
}

}  // namespace cowfs::format
