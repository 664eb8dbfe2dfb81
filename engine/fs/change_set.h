// What a namespace operation changes, as data: names and inodes, each on its own core, all in one epoch. The operation holds
// the locks of every inode named here.
#pragma once
#include <absl/container/inlined_vector.h>

#include <array>
#include <string_view>

#include "engine/format/node.h"
#include "engine/format/values.h"

namespace cowfs::fs {

using format::InodeNumber;

// A name of a directory comes to lead to `child`, or goes when `child` is 0.
struct NameChange {
  InodeNumber directory = 0;
  std::string_view name;
  InodeNumber child = 0;
  format::FileType type = format::FileType::unknown;
};

struct InodeChange {
  InodeNumber inode = 0;
  i64 links = 0;             // added
  i64 size = 0;              // added: entries of a directory
  InodeNumber parent = 0;    // of a directory, when it changes
  bool modified = false;     // modify_ns and change_ns are now
  bool changed = false;      // change_ns is now
  bool erased = false;       // it has no links, no references and no extents: its key goes
  bool created = false;      // with the attributes below
  u32 mode = 0;
  u32 user = 0;
  u32 group = 0;
  u64 device = 0;
};

struct ChangeSet {
  u64 now_ns = 0;
  absl::InlinedVector<NameChange, 2> names;
  absl::InlinedVector<InodeChange, 4> inodes;
};

// The new value of a name's chain.
struct ChainValue {
  std::array<std::byte, format::node_value_bytes_max> bytes;
  u64 size = 0;
  ByteSpan span() const { return {bytes.data(), size}; }
};

// Takes `change` into the chain `old` (empty: none). Error names_collide.
Status change_chain(ByteSpan old, const NameChange& change, ChainValue& chain);

}  // namespace cowfs::fs
