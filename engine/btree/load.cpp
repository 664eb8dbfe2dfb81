// A load looks twice: before the read for what to read, and after it whether that is still wanted.
#include "engine/base/points.h"
#include "engine/btree/check_internal.h"

namespace cowfs::btree {

std::optional<Tree::Want> Tree::want(const Missing& missing) {
  if (root_ == nullptr) {
    if (empty() || missing.level != level_) return std::nullopt;
    return Want{.pointer = root_pointer_};
  }
  if (missing.level >= level_) return std::nullopt;
  Missing above;
  Node* const parent = descend(missing.key, static_cast<u8>(missing.level + 1), above);
  if (parent == nullptr) return std::nullopt;
  const u32 slot = parent->child_slot(missing.key);
  if (parent->children[slot] != nullptr) return std::nullopt;
  return Want{parent->pointer(slot), parent, slot, parent->key(slot), parent->slot_last(slot)};
}

std::optional<Tree::Want> Tree::still_wanted(const Missing& missing, const NodePointer& pointer) {
  std::optional<Want> now = want(missing);
  if (now && std::memcmp(&now->pointer, &pointer, sizeof pointer) == 0) return now;
  reached(Point::node_load_overtaken);
  return std::nullopt;
}

runtime::Task<Status> Tree::load(NodeStore& store, Missing missing) {
  const std::optional<Want> before = want(missing);
  if (!before) co_return Status{};
  const NodePointer pointer = before->pointer;
  if (Status possible = check_pointer(pointer, identity_); !possible) co_return possible;

  NodeHold node(cache_);
  const MutableByteSpan image(node->image(), pointer.blocks() * block_bytes);
  runtime::Task<Status> reading = store.read(pointer, image);
  Status status = co_await reading;
  if (!status) status = placed(status.error(), pointer, identity_);

  // Someone else may have brought it in, or changed, moved or removed it: then a failed read means nothing.
  std::optional<Want> now = still_wanted(missing, pointer);
  if (!now) co_return Status{};
  const auto check = [this, pointer, level = missing.level, first = now->first, last = now->last](ByteSpan read) {
    return check_image(read, pointer, identity_, level, {first, last});
  };
  if (status) status = check(image);
  if (!status) {
    runtime::Task<Status> retrying = store.read_other_copies(pointer, image, check, status.error());
    status = co_await retrying;
    now = still_wanted(missing, pointer);
    if (!now) co_return Status{};
  }
  if (!status) co_return status;
  adopt(*node.release(), *now);
  co_return Status{};
}

void Tree::adopt(Node& node, const Want& want) {
  node.unsqueeze();
  node.tree = this;
  node.location = want.pointer;
  node.referenced = true;
  if (!node.is_leaf()) node.children.assign(node.count(), nullptr);
  if (want.parent == nullptr) {
    root_ = &node;
  } else {
    node.parent = want.parent;
    want.parent->children[want.slot] = &node;
  }
  node.set_first(want.first);
  node.set_last(want.last);
  if (!node.is_leaf()) node.set_key(0, want.first);
}

}  // namespace cowfs::btree
