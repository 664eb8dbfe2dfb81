// A copy-on-write B+tree of one slice: ordered keys, values of up to format::node_value_bytes_max bytes.
//
// Everything but load() is plain synchronous code on memory. A question that needs a node which is not resident answers
// `missing`; the caller awaits load(missing) and asks again from the start. So prepare can be written as a loop, and apply
// never awaits: upsert and erase require that ready(key) has answered true since the last await.
//
// One core; not thread-safe. Values returned are valid until the next change of the tree or the next await.
#pragma once
#include <functional>
#include <vector>

#include "engine/btree/node.h"
#include "engine/format/node.h"
#include "engine/runtime/task.h"

namespace cowfs::btree {

using format::Key;
using format::NodePointer;

// A node on the medium that has to be read before a question can be answered.
struct Missing {
  Node* parent = nullptr;  // null: the root
  u32 slot = 0;
  explicit operator bool() const { return wanted; }
  bool wanted = false;
};

struct Lookup {
  enum class State : u8 { found, absent, missing };
  State state = State::absent;
  ByteSpan value;
  Missing missing;
};

// Implemented above this room: reads and places nodes.
class NodeStore {
 public:
  virtual ~NodeStore() = default;
  // Reads the image that `pointer` names; `image` is pointer.blocks() blocks, block-aligned.
  virtual runtime::Task<Status> read(NodePointer pointer, MutableByteSpan image) = 0;
  // A place for a node of `blocks` blocks. Cannot fail: the checkpoint reserved what it needs.
  virtual format::Address allocate(u64 blocks) = 0;
  // Writes an image (whole blocks) to its place; may buffer until drain().
  virtual runtime::Task<Status> write(format::Address address, ByteSpan image) = 0;
  // The image is not part of the next checkpoint any more; it stays readable until that one is durable.
  virtual void release(const NodePointer& pointer) = 0;
};

}  // namespace cowfs::btree
