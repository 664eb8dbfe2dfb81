#include "engine/btree/check_internal.h"
#include "engine/format/values.h"

namespace cowfs::btree {

Error placed(Error error, const NodePointer& pointer, const format::NodeIdentity& identity) {
  const format::Address address{pointer.address};
  if (error.place.device == Place::nowhere) error.place.device = address.device();
  if (error.place.offset_bytes == ~0ull) error.place.offset_bytes = address.offset_bytes();
  error.place.slice = identity.slice;
  error.place.tree = static_cast<u32>(identity.tree);
  return error;
}

Status check_pointer(const NodePointer& pointer, const format::NodeIdentity& identity) {
  const u32 image_bytes = pointer.image_bytes;
  if (pointer.present() && image_bytes >= sizeof(NodeHeader) && image_bytes <= format::node_bytes) return {};
  return placed(Error{Code::btree_pointer_invalid, pointer.address}, pointer, identity);
}

Status check_image(ByteSpan image, const NodePointer& pointer, const format::NodeIdentity& identity, u8 level,
                   const SlotRange& range) {
  if (Status valid = format::validate_node(image, pointer, identity, level); !valid) {
    return placed(valid.error(), pointer, identity);
  }
  const NodeHeader& header = *reinterpret_cast<const NodeHeader*>(image.data());
  const std::span slots(reinterpret_cast<const Slot*>(image.data() + sizeof header), header.count);
  const bool in_range = range.first <= header.first.key() && header.last.key() <= range.last;
  if (!in_range || slots.empty()) {
    return placed(Error{Code::btree_node_range_mismatch, level}, pointer, identity);
  }
  if (level > 0) return {};
  for (const Slot& slot : slots) {
    if (!format::belongs_to(identity.slice, identity.tree, slot.key())) {
      return placed(Error{Code::btree_key_foreign, slot.key().inode}, pointer, identity);
    }
    const ByteSpan value = image.subspan(slot.value_offset, slot.value_bytes);
    if (Status valid = format::validate_value(identity.tree, slot.key(), value); !valid) {
      return placed(valid.error(), pointer, identity);
    }
  }
  return {};
}

}  // namespace cowfs::btree
