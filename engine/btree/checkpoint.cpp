// Dirty nodes are kept in a list for each level, so freezing is swapping the lists, and writing level by level is
// post-order without walking: a parent of a dirty node is dirty, and children have their places before parents are
// written.
//
// Where a node is on the medium is said by Node::location while it is resident and by its parent's image otherwise;
// both are updated when it has been written. A frozen parent's image finds its children's places through its
// (shadow's) list of children; those nodes stay alive until the checkpoint ends, even if the tree has dropped them.
//
// Places of images are collected and handed to release() only when the whole tree has been written: after an error the old
// ones are still in use by the last checkpoint.
#include <algorithm>
#include <utility>

#include "engine/base/points.h"
#include "engine/btree/tree.h"
#include "engine/format/seal.h"

namespace cowfs::btree {

u64 Tree::dirty_nodes() const {
  u64 nodes = 0;
  for (const auto& level : dirty_) nodes += level.size();
  return nodes;
}

void Tree::add_dirty(Node& node) {
  if (node.dirty_generation != 0) node.pending = true;
  node.dirty_generation = generation_;
  auto& list = dirty_[node.level()];
  node.dirty_index = static_cast<u32>(list.size());
  list.push_back(&node);
  cache_.count_dirty(1);
}

void Tree::drop_dirty(Node& node) {
  assert(node.dirty_generation == generation_);
  auto& list = dirty_[node.level()];
  list[node.dirty_index] = list.back();
  list[node.dirty_index]->dirty_index = node.dirty_index;
  list.pop_back();
  node.dirty_generation = 0;
  cache_.count_dirty(-1);
}

void Tree::make_dirty(Node& node) {
  for (Node* at = &node; at != nullptr && at->dirty_generation != generation_; at = at->parent) add_dirty(*at);
}

void Tree::touch(Node& node) {
  use(node);
  if (node.dirty_generation == generation_ && !node.pending) return;
  if (is_pending(node) && node.shadow == nullptr) {
    node.shadow = cache_.take();
    node.shadow->copy_from(node);
  }
  make_dirty(node);
}

bool Tree::mark_dirty(const Key& key, u8 level, format::Address address, Missing& missing) {
  missing = {};
  if (level > level_) return true;
  Node* const node = descend(key, level, missing);
  if (node == nullptr) return !missing;
  if (node->location.address == address.value) make_dirty(*node);
  return true;
}

bool Tree::can_freeze() const {
  return std::none_of(empty_.begin(), empty_.end(),
                      [this](const Node* leaf) { return leaf->count() == 0 && cache_.pool().is_held(*leaf); });
}

Frozen Tree::freeze() {
  assert(!frozen_ && can_freeze());
  take_out_empty();
  frozen_ = true;
  ++generation_;
  cache_.checkpoint_begins();
  Frozen frozen;
  std::swap(frozen.dirty, dirty_);
  std::swap(frozen.released, released_);
  frozen.root = root_;
  if (root_ == nullptr) frozen.root_pointer = root_pointer_;
  frozen.level = level_;
  return frozen;
}

runtime::Task<Result<Root>> Tree::write(Frozen& frozen, NodeStore& store, Epoch epoch) {
  assert(frozen_);
  for (auto& level : frozen.dirty) {
    // In order of the keys, from the back, so that a later scan reads the medium in order as well.
    std::sort(level.begin(), level.end(), [](const Node* a, const Node* b) { return a->first() > b->first(); });
    while (!level.empty()) {
      Node& node = *level.back();
      runtime::Task<Status> writing = write_node(node, store, epoch, frozen);
      const Status status = co_await writing;
      if (!status) co_return status.error();
      level.pop_back();
      frozen.written.push_back(&node);
    }
  }
  for (const NodePointer& pointer : frozen.released) store.release(pointer);
  frozen.released.clear();
  Root root;
  root.pointer = frozen.root != nullptr ? frozen.root->location : frozen.root_pointer;
  root.level = frozen.level;
  co_return root;
}

runtime::Task<Status> Tree::write_node(Node& node, NodeStore& store, Epoch epoch, Frozen& frozen) {
  const Node& version = node.shadow != nullptr ? *node.shadow : node;
  NodeHold buffer(cache_);
  const u64 blocks = (sizeof(NodeHeader) + version.used_bytes() + block_bytes - 1) / block_bytes;
  const format::Address address = store.allocate(blocks);
  const NodePointer pointer = seal(version, buffer->image(), address, epoch);
  const ByteSpan image(buffer->image(), blocks * block_bytes);
  runtime::Task<Status> writing = store.write(address, image);
  const Status status = co_await writing;
  if (!status) {
    frozen.released.push_back(pointer);  // allocated, and never part of a checkpoint
    co_return status;
  }
  if (node.location.present()) frozen.released.push_back(node.location);
  written(node, pointer);
  co_return Status{};
}

NodePointer Tree::seal(const Node& version, std::byte* image, format::Address address, Epoch epoch) const {
  const u32 length = version.squeeze(image);
  NodeHeader& header = *reinterpret_cast<NodeHeader*>(image);
  const Slot* const slots = reinterpret_cast<const Slot*>(image + sizeof header);
  for (u32 slot = 0; slot < version.children.size(); ++slot) {
    const Node* const child = version.children[slot];
    const NodePointer place = child != nullptr ? child->location : version.pointer(slot);
    assert(place.present());
    std::memcpy(image + slots[slot].value_offset, &place, sizeof place);
  }
  header.address = address.value;
  header.epoch = epoch.value;
  header.image_bytes = length;
  header.checksum_kind = cache_.checksum_kind();
  header.checksum = format::seal_checksum(ByteSpan(image, length), header.checksum_kind);
  NodePointer pointer;
  pointer.address = address.value;
  pointer.epoch = epoch.value;
  pointer.checksum = format::seal_mark(header.checksum);
  pointer.image_bytes = length;
  return pointer;
}

void Tree::written(Node& node, const NodePointer& pointer) {
  node.location = pointer;
  node.pending = false;
  if (node.shadow != nullptr) cache_.put(std::exchange(node.shadow, nullptr));
  if (node.dirty_generation != generation_) node.dirty_generation = 0;
  cache_.count_written();
  if (node.parent != nullptr) node.parent->set_pointer(slot_in_parent(node), pointer);
}

void Tree::settle(Frozen frozen, bool stored) {
  assert(frozen_);
  if (!stored) thaw(frozen);
  released_.insert(released_.end(), frozen.released.begin(), frozen.released.end());
  end_checkpoint();
}

// What was written is dirty again, too: it may be in the store's buffer only.
void Tree::thaw(Frozen& frozen) {
  reached(Point::checkpoint_thawed);
  for (auto& level : frozen.dirty) {
    for (Node* node : level) {
      cache_.count_dirty(-1);
      node->pending = false;
      if (node->shadow != nullptr) cache_.put(std::exchange(node->shadow, nullptr));
      if (node->dirty_generation == generation_) continue;
      node->dirty_generation = 0;
      if (!node->removed) add_dirty(*node);
    }
  }
  for (Node* node : frozen.written) {
    if (!node->removed && node->dirty_generation == 0) add_dirty(*node);
  }
}

// Nodes that the tree dropped meanwhile go now; their images, old or just written, go with the next checkpoint.
void Tree::end_checkpoint() {
  for (Node* node : removed_) {
    if (node->location.present()) released_.push_back(node->location);
    node->pending = false;
    cache_.put(node);
  }
  removed_.clear();
  frozen_ = false;
  cache_.checkpoint_ends();
}

}  // namespace cowfs::btree
