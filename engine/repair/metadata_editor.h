// Changes the metadata of a filesystem where they lie, so that every checksum over a change is right again, up to the slice
// header or the commit block. For whoever makes damage on purpose: `cowfs debug corrupt`, and the simulator's crafted images.
//
// Not for repair, which never changes anything in place. Synchronous; for threads that are no cores.
#pragma once
#include <functional>
#include <vector>

#include "engine/format/journal.h"
#include "engine/format/superblock.h"
#include "engine/journal/recovery.h"

namespace cowfs::repair {

// The bytes of a device, at any offset and of any length.
struct Medium {
  std::function<void(u64 offset, MutableByteSpan into)> read;
  std::function<void(u64 offset, ByteSpan from)> write;
};

using RawBytes = std::vector<std::byte>;

// Zeros for what is not there.
template <typename T>
T read_as(ByteSpan raw, u64 offset) {
  T object{};
  if (offset + sizeof object <= raw.size()) std::memcpy(&object, raw.data() + offset, sizeof object);
  return object;
}

// Without effect when there is no room for it.
template <typename T>
void put(MutableByteSpan raw, u64 offset, const T& object) {
  if (offset + sizeof object <= raw.size()) std::memcpy(raw.data() + offset, &object, sizeof object);
}

RawBytes read(const Medium& medium, u64 offset, u64 bytes);

// Slots of a node's image that lie within it.
u64 slot_count(ByteSpan node);
inline u64 slot_offset(u64 index) { return sizeof(format::NodeHeader) + index * sizeof(format::Slot); }

// Where everything lies is what it was when the editor was made: changed structures stay where they are.
class MetadataEditor {
 public:
  static constexpr std::size_t none = ~std::size_t{0};
  struct NodePlace {
    u16 slice = 0;
    format::TreeId tree = format::TreeId::inodes;
    u8 level = 0;
    format::NodePointer pointer{};
    std::size_t parent = none;  // none: the slice header
  };

  // `medium` holds a filesystem that can be mounted.
  MetadataEditor(const Medium& medium, const format::Superblock& superblock, journal::History history);

  const format::Superblock& superblock() const { return superblock_; }
  const journal::History& history() const { return history_; }
  // All of them, parents first.
  const std::vector<NodePlace>& nodes() const { return nodes_; }

  RawBytes node(const Medium& medium, std::size_t index) const;
  void put_node(const Medium& medium, std::size_t index, RawBytes bytes) const;
  RawBytes entry(const Medium& medium, std::size_t index) const;
  void put_entry(const Medium& medium, std::size_t index, RawBytes bytes) const;
  // The newest.
  RawBytes commit(const Medium& medium) const;
  void put_commit(const Medium& medium, RawBytes block) const;
  // The one in force.
  u64 header_offset(u16 slice) const { return header_offsets_[slice]; }
  format::SliceHeader header(const Medium& medium, u16 slice) const;
  void put_header(const Medium& medium, u16 slice, format::SliceHeader header) const;
  RawBytes space_list(const Medium& medium, u16 slice) const;
  void put_space_list(const Medium& medium, u16 slice, const RawBytes& list) const;

 private:
  void find_nodes(const Medium& medium, u16 slice, format::TreeId tree, u8 level, format::NodePointer pointer,
                  std::size_t parent);
  u64 commit_offset() const;

  format::Superblock superblock_{};
  journal::History history_;
  std::vector<u64> header_offsets_;     // by slice
  std::vector<u64> space_list_offsets_;
  std::vector<u64> space_list_bytes_;
  std::vector<NodePlace> nodes_;
};

}  // namespace cowfs::repair
