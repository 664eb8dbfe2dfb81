// Inodes and the names that lead to them, across slices.
#include <fmt/format.h>

#include <algorithm>

#include "engine/admin/check_internal.h"

namespace cowfs::admin {

using format::Key;
using format::TreeId;

namespace {

constexpr std::size_t path_depth_max = 4096;

std::string inode_text(u64 inode) { return fmt::format("inode {:#x}", inode); }

bool wants_orphan(const InodeSeen& inode) { return inode.links == 0 || (inode.flags & format::inode_truncating) != 0; }

}  // namespace

Task<void> Checker::check_inodes(u16 slice) {
  constexpr u64 counter_mask = (1ull << 48) - 1;
  const u64 next_counter = recovered_->slice(slice).next_inode_counter();
  Key from = format::key_min;
  while (true) {
    const std::vector<Item> items = co_await next_items(slice, TreeId::inodes, &from);
    if (items.empty()) co_return;
    for (const Item& item : items) {
      format::InodeValue value;
      std::memcpy(&value, item.value.data(), sizeof value);
      const u64 number = item.key.inode;
      count("inodes");
      if (format::slice_of(number) != slice || (number & counter_mask) >= next_counter) {
        found(FindingClass::inode_misplaced, {slice, TreeId::inodes, number, inode_text(number)},
              fmt::format("the slice's next inode is {}", next_counter));
      }
      InodeSeen& seen = inodes_[number];
      seen.size = value.size;
      seen.blocks = value.blocks;
      seen.parent = value.parent;
      seen.mode = value.mode;
      seen.links = value.links;
      seen.flags = value.flags;
    }
  }
}

Task<void> Checker::check_orphans(u16 slice) {
  absl::flat_hash_set<u64> orphans;
  Key from = format::key_min;
  while (true) {
    const std::vector<Item> items = co_await next_items(slice, TreeId::orphans, &from);
    if (items.empty()) break;
    for (const Item& item : items) {
      const u64 number = item.key.inode;
      orphans.insert(number);
      const auto inode = inodes_.find(number);
      if (inode != inodes_.end() && wants_orphan(inode->second)) continue;
      if (inode == inodes_.end() && incomplete(slice, TreeId::inodes)) continue;
      found(FindingClass::orphan_needless, {slice, TreeId::orphans, number, inode_text(number)},
            inode == inodes_.end() ? "there is no such inode" : "the inode has links and nothing is unfinished");
    }
  }
  count("orphans", orphans.size());
  if (incomplete(slice, TreeId::orphans)) co_return;
  for (const auto& [number, inode] : inodes_) {
    if (format::slice_of(number) != slice || !wants_orphan(inode) || orphans.contains(number)) continue;
    found(FindingClass::orphan_missing, {slice, TreeId::orphans, number, inode_text(number)},
          fmt::format("it has {} links and flags {:#x}", inode.links, inode.flags));
  }
}

Task<void> Checker::check_xattrs(u16 slice) {
  Key from = format::key_min;
  while (true) {
    const std::vector<Item> items = co_await next_items(slice, TreeId::xattrs, &from);
    if (items.empty()) co_return;
    for (const Item& item : items) {
      count("xattr keys");
      if (inodes_.contains(item.key.inode) || incomplete(slice, TreeId::inodes)) continue;
      found(FindingClass::xattr_without_inode, {slice, TreeId::xattrs, item.key.inode, inode_text(item.key.inode)},
            "the inode does not exist");
    }
  }
}

Task<void> Checker::check_names(u16 slice) {
  Key from = format::key_min;
  while (true) {
    const std::vector<Item> items = co_await next_items(slice, TreeId::dirents, &from);
    if (items.empty()) co_return;
    for (const Item& item : items) {
      const u64 directory = item.key.inode;
      const auto owner = inodes_.find(directory);
      const bool known = owner != inodes_.end() && owner->second.is_directory();
      if (!known && !incomplete(slice, TreeId::inodes)) {
        found(FindingClass::name_without_directory, {slice, TreeId::dirents, directory, inode_text(directory)},
              format::to_text(TreeId::dirents, item.key, item.value));
      }
      format::DirentChain chain(item.value);
      format::Dirent entry;
      while (chain.next(entry)) {
        if (format::dirent_hash(entry.name, superblock_.hash_seed) != item.key.offset) {
          found(FindingClass::name_hash_wrong, {slice, TreeId::dirents, entry.inode, inode_text(directory)},
                fmt::format("\"{}\" stands under {:#x}", entry.name, item.key.offset));
        }
        check_name(slice, directory, entry);
      }
    }
  }
}

void Checker::check_name(u16 slice, u64 directory, const format::Dirent& entry) {
  count("names");
  const auto owner = inodes_.find(directory);
  if (owner != inodes_.end()) ++owner->second.entries;
  const auto target = inodes_.find(entry.inode);
  const At at{slice, TreeId::dirents, entry.inode, inode_text(directory)};
  if (target == inodes_.end()) {
    const u16 home = format::slice_of(entry.inode);
    if (home < superblock_.slices && incomplete(home, TreeId::inodes)) return;
    found(FindingClass::name_without_inode, at, fmt::format("\"{}\" leads to {}", entry.name, inode_text(entry.inode)));
    return;
  }
  InodeSeen& inode = target->second;
  if ((inode.mode >> 12) != static_cast<u32>(entry.type)) {
    found(FindingClass::name_type_wrong, at,
          fmt::format("\"{}\" says type {}, the inode's mode is {:o}", entry.name, static_cast<u32>(entry.type),
                      inode.mode));
  }
  ++inode.names;
  inode.named_in = directory;
  if (!inode.is_directory()) return;
  if (owner != inodes_.end()) ++owner->second.subdirectories;
  if (inode.names == 2) found(FindingClass::directory_named_twice, at, fmt::format("\"{}\"", entry.name));
}

void Checker::check_links() {
  const auto root = inodes_.find(format::root_inode);
  const bool is_there = root != inodes_.end() && root->second.is_directory();
  if (!is_there && !recovered_->never_mounted()) {
    found(FindingClass::root_missing, {u16{0}, TreeId::inodes, format::root_inode, inode_text(format::root_inode)}, "");
  }
  for (const auto& [number, inode] : inodes_) {
    if (inode.is_directory()) {
      check_directory(number, inode);
    } else if (inode.links != inode.names) {
      found(FindingClass::links_wrong, {format::slice_of(number), TreeId::inodes, number, inode_text(number)},
            fmt::format("{} links, {} names", inode.links, inode.names));
    }
  }
  check_reachable();
}

void Checker::check_directory(u64 number, const InodeSeen& inode) {
  const At at{format::slice_of(number), TreeId::inodes, number, inode_text(number)};
  if (inode.size != inode.entries) {
    found(FindingClass::directory_size_wrong, at, fmt::format("size {}, {} entries", inode.size, inode.entries));
  }
  const bool is_root = number == format::root_inode;
  const bool alive = is_root || inode.names > 0;
  const u64 links = alive ? 2 + inode.subdirectories : 0;
  if (inode.links != links) {
    found(FindingClass::links_wrong, at,
          fmt::format("{} links, {} names and {} subdirectories", inode.links, inode.names, inode.subdirectories));
  }
  const u64 parent = is_root ? number : inode.named_in;
  if (alive && inode.parent != parent) {
    found(FindingClass::parent_wrong, at,
          fmt::format("{}, the name is in {}", inode_text(inode.parent), inode_text(parent)));
  }
}

// Follows names upwards; what is known to lead to the root is marked, so every directory is passed about once.
void Checker::check_reachable() {
  absl::flat_hash_set<u64> good{format::root_inode};
  std::vector<u64> way;
  for (const auto& [number, inode] : inodes_) {
    if (!inode.is_directory() || inode.names == 0) continue;
    way.clear();
    absl::flat_hash_set<u64> passed;
    u64 at = number;
    while (!good.contains(at) && passed.insert(at).second) {
      way.push_back(at);
      const auto here = inodes_.find(at);
      if (here == inodes_.end() || here->second.names == 0) break;
      at = here->second.named_in;
    }
    if (good.contains(at)) {
      good.insert(way.begin(), way.end());
    } else {
      found(FindingClass::unreachable, {format::slice_of(number), TreeId::inodes, number, inode_text(number)},
            passed.contains(at) ? "its parents form a ring" : "its topmost parent has no name");
    }
  }
}

// Inodes of findings, and the directories on the way to them.
Checker::Names Checker::names_wanted() const {
  Names names;
  for (const Finding& finding : report.findings) {
    u64 at = finding.inode;
    for (std::size_t depth = 0; depth < path_depth_max && at != 0; ++depth) {
      if (!names.try_emplace(at).second) break;
      const auto seen = inodes_.find(at);
      if (seen == inodes_.end() || seen->second.names == 0) break;
      at = seen->second.named_in;
    }
  }
  return names;
}

// One more pass over the names, only when there is something to name.
Task<void> Checker::find_paths() {
  Names names = names_wanted();
  if (names.empty()) co_return;
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    Key from = format::key_min;
    while (true) {
      const std::vector<Item> items = co_await next_items(slice, TreeId::dirents, &from);
      if (items.empty()) break;
      for (const Item& item : items) {
        format::DirentChain chain(item.value);
        format::Dirent entry;
        while (chain.next(entry)) {
          const auto wanted = names.find(entry.inode);
          if (wanted != names.end()) wanted->second = {item.key.inode, std::string(entry.name)};
        }
      }
    }
  }
  for (Finding& finding : report.findings) finding.path = path_of(names, finding.inode);
}

std::string Checker::path_of(const Names& names, u64 inode) {
  std::string path;
  for (std::size_t depth = 0; depth < path_depth_max && inode != 0; ++depth) {
    if (inode == format::root_inode) return path.empty() ? "/" : path;
    const auto name = names.find(inode);
    if (name == names.end() || name->second.first == 0) break;
    path.insert(0, "/" + name->second.second);
    inode = name->second.first;
  }
  return path.empty() ? path : "..." + path;
}

}  // namespace cowfs::admin
