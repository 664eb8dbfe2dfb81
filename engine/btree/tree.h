// A copy-on-write B+tree of one slice: ordered keys, values of up to format::node_value_bytes_max bytes.
//
// Everything but load(), write() and walk() is plain synchronous code on memory. A question that needs a node which
// is not resident answers `missing`; the caller awaits load(missing) and asks again from the start. So prepare can be
// written as a loop, and apply never awaits: upsert and erase require that ready(key) has answered true since the
// last await.
//
// A checkpoint is freeze(), write() and settle(): the tree as of freeze() goes to the medium while the tree works on.
//
// One core; not thread-safe. Values and cursors are valid until the next change of the tree or the next await.
#pragma once
#include <functional>
#include <array>
#include <optional>
#include <vector>

#include "engine/btree/node_cache.h"
#include "engine/runtime/task.h"

namespace cowfs::btree {

class Cursor;

// A node on the medium that has to be read before a question can be answered: the one that holds `key` at `level`.
// Stays meaningful however the tree changes.
struct Missing {
  Key key;
  u8 level = 0;
  bool wanted = false;
  explicit operator bool() const { return wanted; }
};

struct Lookup {
  enum class State : u8 { found, absent, missing };
  State state = State::absent;
  ByteSpan value;
  Missing missing;
  bool found() const { return state == State::found; }
};

// What a slice header holds of a tree. An absent pointer: an empty tree.
struct Root {
  NodePointer pointer{};
  u8 level = 0;
};

// Implemented above this room: reads and places nodes.
class NodeStore {
 public:
  virtual ~NodeStore() = default;
  // Reads the image that `pointer` names; `image` is pointer.blocks() blocks, block-aligned.
  virtual runtime::Task<Status> read(NodePointer pointer, MutableByteSpan image) = 0;
  // After an image that could not be read, or is not what it should be (`wrong`): one from another copy that `verify` accepts.
  // Error: `wrong`; there is none.
  using Verify = std::function<Status(ByteSpan image)>;
  virtual runtime::Task<Status> read_other_copies(NodePointer, MutableByteSpan, Verify, Error wrong) { co_return wrong; }
  // A place for a node of `blocks` blocks. Cannot fail: the checkpoint reserved what it needs.
  virtual format::Address allocate(u64 blocks) = 0;
  // Writes an image (whole blocks) to its place; may buffer a copy until the store's owner drains it, before settle().
  virtual runtime::Task<Status> write(format::Address address, ByteSpan image) = 0;
  // The image is not part of the checkpoint that is being written any more; it stays readable until that one is
  // durable. Called by write() only, once per image.
  virtual void release(const NodePointer& pointer) = 0;
};

// The keys that a parent's slot promises; all keys for a root.
struct SlotRange {
  Key first = format::key_min;
  Key last = format::key_max;
};

// What walk() reports to.
class NodeVisitor {
 public:
  virtual ~NodeVisitor() = default;
  // `image` is validated. An error ends the walk.
  virtual Status visit(const NodePointer& pointer, const NodeHeader& header, ByteSpan image) = 0;
  // A node that could not be read or is damaged: the keys of `range` are missing, and the walk goes on.
  virtual void damaged(const NodePointer& pointer, const SlotRange& range, const Error& error) = 0;
};

// The tree as of a freeze(). Must be given to settle() in the end.
struct Frozen {
  std::array<std::vector<Node*>, format::node_level_max + 1> dirty;  // by level; not written yet
  std::vector<Node*> written;
  std::vector<NodePointer> released;
  Node* root = nullptr;
  NodePointer root_pointer{};  // when the root is not resident
  u8 level = 0;
};

class Tree {
 public:
  Tree(NodeCache& cache, format::TreeId id) : cache_(cache), identity_(cache.identity(id)) {}
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  // A checkpoint that is under way is given up; its task must have been destroyed before, or never resume.
  ~Tree();

  // Replaces an empty, clean tree by the one on the medium. Reads nothing.
  void open(const Root& root);

  bool empty() const { return root_ == nullptr && !root_pointer_.present(); }
  u8 level() const { return level_; }
  NodeCache& cache() { return cache_; }
  format::TreeId id() const { return identity_.tree; }

  Lookup find(const Key& key);
  // True when every node on the way to `key` is resident: upsert and erase of it may be called.
  bool ready(const Key& key, Missing& missing);
  // Inserts or replaces. `value` is at most node_value_bytes_max bytes. Cannot fail.
  void upsert(const Key& key, ByteSpan value);
  // False: there was no such key.
  bool erase(const Key& key);

  // The first key >= `key`.
  Cursor seek(const Key& key);
  // The last key <= `key`.
  Cursor seek_before(const Key& key);

  // Brings a missing node in. Several loads may run at once, also of the same node. Done without effect when the tree
  // has changed so that the node is not wanted any more. Errors: the store's, format::validate_node's and
  // validate_value's, btree_node_range_mismatch, btree_pointer_invalid; with slice, tree and place. Nothing is
  // resident that was not before.
  runtime::Task<Status> load(NodeStore& store, Missing missing);

  // False while a leaf without keys is held: it cannot be written, and who holds it may be about to use its range.
  bool can_freeze() const;
  // The tree as it is now will be written by write(). Costs as much as it has levels. Nothing leaves memory until settle().
  // Precondition: can_freeze(), and no other Frozen of this tree is alive.
  Frozen freeze();
  // Writes every node that was dirty at freeze(), children first, and releases the images that they replace.
  // Error: the store's; nothing was released.
  runtime::Task<Result<Root>> write(Frozen& frozen, NodeStore& store, Epoch epoch);
  // Ends a checkpoint. `stored`: write() succeeded, and all that the store was given is on the medium. Otherwise the next
  // checkpoint writes it again, to other places.
  void settle(Frozen frozen, bool stored);

  // Blocks that a checkpoint begun now would need, at most; what a running checkpoint still has to write is not in it.
  u64 dirty_blocks_bound() const { return dirty_nodes() * format::node_blocks_max; }
  u64 dirty_nodes() const;
  // Nodes on the medium that left the tree since the newest freeze().
  const std::vector<NodePointer>& released() const { return released_; }

  // Makes the next checkpoint move the node that holds `key` at `level`, when it is the one at `address`.
  // False: `missing` has to be loaded first. True also when there is no such node (any more).
  bool mark_dirty(const Key& key, u8 level, format::Address address, Missing& missing);

  // For tests and paranoid(): asserts that the resident part is a well-formed tree.
  void check_invariants() const;

 private:
  friend class Ahead;
  friend class Cursor;
  friend class NodeCache;

  // Finding.
  Node* leaf_of(const Key& key, Missing& missing);
  Node* descend(const Key& key, u8 level, Missing& missing);
  Node* resident_leaf(const Key& key) const;
  void use(Node& node);
  void remember(Node* leaf);
  void expect(const Key& key, Node& leaf, u32 slot);
  void forget_recent(const Node& leaf);
  Node* leaf_for_change(const Key& key);
  u32 slot_of(const Node& leaf, const Key& key);
  bool neighbour(Node& leaf, bool right, Node*& next, Missing& missing);

  // Changing the structure.
  void touch(Node& node);       // before the image or the children of `node` change
  void make_dirty(Node& node);  // `node` and everything above
  void upsert_slow(Node& leaf, const Key& key, ByteSpan value);
  void plant(const Key& key, ByteSpan value);
  Node& split(Node& node, u32 at);
  Node& append_sibling(Node& node, const Key& first);
  void attach_right(Node& node, Node& right);
  void grow_root();
  void shrink(Node& node);  // `node` has lost something
  bool merge_with_sibling(Node& node);
  void merge(Node& left, Node& right, u32 right_slot);
  void remove_empty(Node& node);
  bool has_heir(const Node& leaf) const;
  void take_out_empty();
  void take_out(Node& node);
  void collapse_root();
  bool has_room(const Node& node, std::size_t value_bytes) const;
  void keep_frozen_range(Node& node);
  void widen_first(Node* node, const Key& first);
  void widen_last(Node* node, const Key& last);
  u32 slot_in_parent(const Node& node) const;
  void retire(Node& node);
  void discard(Node& node);
  void forget(Node& node);  // evicted: clean and without resident children

  // Loading.
  struct Want {
    NodePointer pointer;
    Node* parent = nullptr;  // null: the root is wanted
    u32 slot = 0;
    Key first = format::key_min;
    Key last = format::key_max;
  };
  std::optional<Want> want(const Missing& missing);
  std::optional<Want> still_wanted(const Missing& missing, const NodePointer& pointer);
  void adopt(Node& node, const Want& want);

  // Checkpoint.
  bool is_pending(const Node& node) const {
    return node.pending || (node.dirty_generation != 0 && node.dirty_generation != generation_);
  }
  void add_dirty(Node& node);
  void drop_dirty(Node& node);
  runtime::Task<Status> write_node(Node& node, NodeStore& store, Epoch epoch, Frozen& frozen);
  NodePointer seal(const Node& version, std::byte* image, format::Address address, Epoch epoch) const;
  void written(Node& node, const NodePointer& pointer);
  void thaw(Frozen& frozen);
  void end_checkpoint();

  const NodeFill& fill() const { return cache_.pool().fill(); }
  void check_node(const Node& node) const;

  NodeCache& cache_;
  format::NodeIdentity identity_;
  Node* root_ = nullptr;
  NodePointer root_pointer_{};  // when root_ is null; absent: the tree is empty
  u8 level_ = 0;                // of the root
  // A leaf that was used, and where in it; the place is only a guess.
  struct Recent {
    static constexpr u32 no_slot = ~0u;
    Node* leaf = nullptr;
    u32 slot = no_slot;
  };
  // The last one first. Two, because a change often goes between two places, as a block's old and new backpointer are.
  std::array<Recent, 2> recent_;
  u64 generation_ = 1;          // of changes: one more with every freeze
  bool frozen_ = false;
  std::array<std::vector<Node*>, format::node_level_max + 1> dirty_;  // of this generation
  std::vector<NodePointer> released_;                                 // for the next checkpoint
  std::vector<Node*> removed_;                                        // alive until the running checkpoint ends
  std::vector<Node*> empty_;  // leaves whose last key went while nobody in memory could take their range
};

// Reads every node of the tree below `root` from the medium, parents first, one image a level in memory. Nothing enters
// the cache. Errors: visit()'s only.
runtime::Task<Status> walk(NodeStore& store, format::NodeIdentity identity, Root root, NodeVisitor& visitor);

}  // namespace cowfs::btree

#include "engine/btree/cursor.h"
