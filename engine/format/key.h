// The key of every tree, and the list of trees.
#pragma once
#include <compare>
#include <string_view>

#include "engine/base/types.h"

namespace cowfs::format {

// Ordered by (inode, offset, snapshot). What the words mean in each tree stands beside TreeId.
struct Key {
  u64 inode = 0;
  u64 offset = 0;
  u32 snapshot = 0;
  auto operator<=>(const Key&) const = default;
};

constexpr Key key_min{};
constexpr Key key_max{~0ull, ~0ull, ~0u};

// The snapshot of everything that no snapshot holds.
constexpr u32 snapshot_live = ~0u;

enum class TreeId : u8 {
  inodes = 0,        // primary: (inode, 0)                           -> InodeValue
  dirents = 1,       // primary: (directory, name hash)               -> chain of Dirent
  xattrs = 2,        // primary: (inode, name hash)                   -> chain of Xattr
  extents = 3,       // primary: (inode, first block in the file)     -> extent, or inline data
  leases = 4,        // primary, slice 0 only: (bucket, 0)            -> LeaseValue
  alloc = 5,         // derived: (bucket, 0)                          -> AllocValue
  backpointers = 6,  // derived: (bucket, block in the bucket)        -> BackpointerValue
  orphans = 7,       // derived: (inode, 0)                           -> empty; work to finish at mount
  counters = 8,      // primary, slice 0 only: (Activity, device id)  -> CounterValue
};
constexpr u8 tree_count = 9;

constexpr bool is_derived(TreeId tree) { return tree >= TreeId::alloc && tree <= TreeId::orphans; }

std::string_view name(TreeId tree);

}  // namespace cowfs::format
