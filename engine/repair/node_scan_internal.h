// Leaves that nothing leads to any more: found by looking through the device for them.
#pragma once
#include "engine/repair/salvage_internal.h"

namespace cowfs::repair {

// Keys of one tree that were lost with what led to their leaves: an interior node, or the slice's header.
struct Unreached {
  u16 slice = 0;
  TreeId tree = TreeId::inodes;
  btree::SlotRange range;
};

// Every node says what it is, and the leaves of a tree leave no gap: of those that hold a key, the newest is the one that was
// in force. What is found is put into `all`; its lost ranges become what was not found.
Task<void> find_unreached(device::Device& device, const format::Superblock& superblock,
                          const std::vector<Unreached>& unreached, Salvaged& all, std::vector<Repair>& repairs);

}  // namespace cowfs::repair
