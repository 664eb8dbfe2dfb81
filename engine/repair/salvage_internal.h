// Everything of a filesystem that can still be read, whatever else is damaged: each slice's newest checkpoint, with history
// since laid over it, as keys in memory. Nothing is held to anything else here.
#pragma once
#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_set.h>

#include <array>
#include <optional>
#include <vector>

#include "engine/btree/tree.h"
#include "engine/format/journal.h"
#include "engine/format/values.h"
#include "engine/repair/repair.h"

namespace cowfs::repair {

using format::Key;
using format::TreeId;
using runtime::Task;

using Keys = absl::btree_map<Key, std::vector<std::byte>>;

struct SliceSalvaged {
  std::optional<format::SliceHeader> header;  // in force; none: nothing of the slice can be read
  bool twin_is_sound = false;                 // the other place of the header holds an older one, or was never used
  // Primary trees with history; alloc and backpointers as of the checkpoint: witnesses where extents contradict each other.
  std::array<Keys, format::tree_count> trees;
  std::array<std::vector<btree::SlotRange>, format::tree_count> lost;  // keys that were in nodes that cannot be read
  absl::flat_hash_set<u64> changed_files;  // whose extents history changes

  Keys& tree(TreeId id) { return trees[static_cast<std::size_t>(id)]; }
  const Keys& tree(TreeId id) const { return trees[static_cast<std::size_t>(id)]; }
  const std::vector<btree::SlotRange>& lost_of(TreeId id) const { return lost[static_cast<std::size_t>(id)]; }
};

struct Salvaged {
  std::vector<SliceSalvaged> slices;
  u64 newest_epoch = 0;  // no valid structure speaks of a later one
  u32 session = 0;
  absl::flat_hash_set<u64> metadata_buckets;  // that hold nodes, as far as they could be read
};

// Errors: of the device; those of read_history when the journal is damaged and `cut_journal` does not allow to go on with
// what comes before the damage. Each loss is told in `repairs`.
Task<Result<Salvaged>> salvage(device::Device& device, const format::Superblock& superblock, bool cut_journal,
                               std::vector<Repair>& repairs);

}  // namespace cowfs::repair
