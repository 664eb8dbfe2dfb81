// One image a level, and as many levels as the format allows: damaged pointers cannot make the walk deep, and a cycle
// would need a node that claims two levels.
#include <cstdlib>
#include <memory>

#include "engine/btree/check_internal.h"

namespace cowfs::btree {

namespace {

struct Freer {
  void operator()(std::byte* memory) const { std::free(memory); }
};

// An interior node on the way down, with the slot that comes next.
struct Level {
  std::unique_ptr<std::byte, Freer> image;
  u32 next_slot = 0;
  SlotRange range;  // of the node itself

  const NodeHeader& header() const { return *reinterpret_cast<const NodeHeader*>(image.get()); }
  const Slot& slot(u32 index) const {
    return reinterpret_cast<const Slot*>(image.get() + sizeof(NodeHeader))[index];
  }
  NodePointer pointer(u32 index) const {
    NodePointer result;
    std::memcpy(&result, image.get() + slot(index).value_offset, sizeof result);
    return result;
  }
  SlotRange slot_range(u32 index) const {
    return {index == 0 ? range.first : slot(index).key(),
            index + 1 == header().count ? range.last : predecessor(slot(index + 1).key())};
  }
};

// From the first copy that is what it should be. `memory`: of the largest node.
runtime::Task<Status> read_node(NodeStore& store, NodePointer pointer, format::NodeIdentity identity, u8 level, SlotRange range,
                                MutableByteSpan memory) {
  const Status possible = check_pointer(pointer, identity);
  if (!possible) co_return possible;
  const MutableByteSpan image = memory.first(pointer.blocks() * block_bytes);
  runtime::Task<Status> reading = store.read(pointer, image);
  Status status = co_await reading;
  if (!status) status = placed(status.error(), pointer, identity);
  const auto check = [=](ByteSpan read) { return check_image(read, pointer, identity, level, range); };
  if (status) status = check(image);
  if (status) co_return status;
  runtime::Task<Status> retrying = store.read_other_copies(pointer, image, check, status.error());
  co_return co_await retrying;
}

}  // namespace

runtime::Task<Status> walk(NodeStore& store, format::NodeIdentity identity, Root root, NodeVisitor& visitor) {
  if (!root.pointer.present()) co_return Status{};
  if (root.level > format::node_level_max) {
    visitor.damaged(root.pointer, {}, placed(Error{Code::btree_level_invalid, root.level}, root.pointer, identity));
    co_return Status{};
  }
  std::vector<Level> levels(root.level + 1u);
  for (Level& level : levels) {
    level.image.reset(static_cast<std::byte*>(std::aligned_alloc(block_bytes, format::node_bytes)));
    assert(level.image != nullptr);
  }

  NodePointer pointer = root.pointer;
  u32 depth = root.level;
  for (;;) {
    Level& here = levels[depth];
    const MutableByteSpan memory(here.image.get(), format::node_bytes);
    const Status status = co_await read_node(store, pointer, identity, static_cast<u8>(depth), here.range, memory);
    if (status.ok()) {
      const Status visited = visitor.visit(pointer, here.header(), memory.first(pointer.image_bytes));
      if (!visited) co_return visited;
    } else {
      visitor.damaged(pointer, here.range, status.error());
    }
    here.next_slot = 0;
    if (!status.ok() || depth == 0) ++depth;
    while (depth <= root.level && levels[depth].next_slot == levels[depth].header().count) ++depth;
    if (depth > root.level) co_return Status{};
    Level& parent = levels[depth];
    pointer = parent.pointer(parent.next_slot);
    levels[depth - 1].range = parent.slot_range(parent.next_slot);
    ++parent.next_slot;
    --depth;
  }
}

}  // namespace cowfs::btree
