// Btree nodes: the pointer that leads to a node is made from the node, and its checksum is right.
#include "engine/format/node.h"

#include "engine/base/assert.h"
#include "engine/base/fuzz.h"
#include "engine/format/seal.h"

namespace cowfs::fuzz {

using format::NodeHeader;

void try_input(ByteSpan input) {
  std::vector<std::byte> image = copy_of(input);
  if (image.size() < sizeof(NodeHeader)) image.resize(sizeof(NodeHeader));
  auto header = front_of<NodeHeader>(image);
  header.magic = format::node_magic;
  header.image_bytes = static_cast<u32>(image.size());
  std::memcpy(image.data(), &header, sizeof header);
  header.checksum = format::seal_checksum(image, header.checksum_kind);
  std::memcpy(image.data(), &header, sizeof header);
  const format::NodePointer pointer{header.address, header.epoch, format::seal_mark(header.checksum), header.image_bytes};
  const format::NodeIdentity identity{header.filesystem, header.slice, static_cast<format::TreeId>(header.tree)};
  if (format::validate_node(image, pointer, identity, header.level).ok()) assert(image.size() <= format::node_bytes);
}

std::vector<std::vector<std::byte>> seeds() {
  NodeHeader header{};
  header.last = format::PackedKey::of(format::key_max);
  return {copy_of(bytes_of(header))};
}

}  // namespace cowfs::fuzz
