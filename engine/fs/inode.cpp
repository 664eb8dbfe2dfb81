#include "engine/fs/inode.h"

#include <algorithm>

#include "engine/fs/core_state.h"

namespace cowfs::fs {

bool RangeLocks::try_lock(const void* owner, u64 first, u64 end) {
  for (const Range& range : held_) {
    if (range.owner != owner && range.first < end && first < range.end) return false;
  }
  held_.push_back({owner, first, end});
  return true;
}

// What is left of a partly unlocked range stays locked.
void RangeLocks::unlock(const void* owner, u64 first, u64 end) {
  std::vector<Range> kept;
  for (const Range& range : held_) {
    if (range.owner != owner || range.end <= first || end <= range.first) {
      kept.push_back(range);
      continue;
    }
    if (range.first < first) kept.push_back({owner, range.first, first});
    if (end < range.end) kept.push_back({owner, end, range.end});
  }
  held_ = std::move(kept);
}

void RangeLocks::unlock_all(const void* owner) { unlock(owner, 0, ~0ull); }

void Inode::decode(const format::InodeValue& value) {
  size = persisted_size = value.size;
  blocks = value.blocks;
  access_ns = value.access_ns;
  modify_ns = value.modify_ns;
  change_ns = value.change_ns;
  birth_ns = value.birth_ns;
  parent = value.parent;
  device = value.device;
  mode = value.mode;
  user = value.user;
  group = value.group;
  links = value.links;
  flags = value.flags;
  generation = value.generation;
}

format::InodeValue Inode::encode() const {
  format::InodeValue value{};
  value.size = persisted_size;
  value.blocks = blocks;
  value.access_ns = access_ns;
  value.modify_ns = modify_ns;
  value.change_ns = change_ns;
  value.birth_ns = birth_ns;
  value.parent = parent;
  value.device = device;
  value.mode = mode;
  value.user = user;
  value.group = group;
  value.links = links;
  value.flags = flags;
  value.generation = generation;
  return value;
}

Attributes Inode::attributes() const {
  format::InodeValue value = encode();
  value.size = size;
  return attributes_of(number, value);
}

Attributes attributes_of(InodeNumber number, const format::InodeValue& value) {
  Attributes attributes;
  attributes.inode = number;
  attributes.mode = value.mode;
  attributes.links = value.links;
  attributes.user = value.user;
  attributes.group = value.group;
  attributes.size = value.size;
  attributes.blocks_512 = value.blocks * (block_bytes / 512);
  attributes.device = value.device;
  attributes.access_ns = value.access_ns;
  attributes.modify_ns = value.modify_ns;
  attributes.change_ns = value.change_ns;
  attributes.birth_ns = value.birth_ns;
  return attributes;
}

data::FileData& Inode::file_data() {
  if (!data_) {
    data_ = std::make_unique<data::FileData>(home.data, number, is_new);
  }
  return *data_;
}

slice::Update Inode::updated(u64 new_size, u32 new_flags, i64 more_blocks) {
  encoded_ = encode();
  encoded_.size = new_size;
  encoded_.flags = new_flags;
  encoded_.blocks = static_cast<u64>(static_cast<i64>(blocks) + more_blocks);
  return {format::TreeId::inodes, format::UpdateKind::upsert, key(), bytes_of(encoded_)};
}

slice::Update Inode::update(const data::DataChange& change) {
  if (truncating) {
    const u32 unfinished = change.complete ? 0u : u32{format::inode_truncating};
    return updated(std::min(persisted_size, size), (flags & ~format::inode_truncating) | unfinished, change.blocks);
  }
  const u64 end = change.complete ? write_back_size : std::min(change.end_bytes, write_back_size);
  return updated(std::max(persisted_size, end), flags, change.blocks);
}

void Inode::applied(const data::DataChange& change) {
  persisted_size = encoded_.size;
  flags = encoded_.flags;
  blocks = encoded_.blocks;
  changed = home.slice.stream().current();
  // The size may be ahead still, of data that came meanwhile.
  if (change.complete) attributes_dirty = persisted_size != size;
}

void Inode::cached(u64 end_bytes) {
  if (end_bytes <= size) return;
  size = end_bytes;
  attributes_dirty = true;
}

bool DataFollower::follows(const data::DataChange& change) const {
  return change.blocks != 0 || change.end_bytes > inode_.persisted_size;
}

slice::Update DataFollower::update(const data::DataChange& change) {
  return inode_.updated(std::max(inode_.persisted_size, change.end_bytes), inode_.flags, change.blocks);
}

void DataFollower::cached(u64 end_bytes) { inode_.cached(end_bytes); }

void DataFollower::applied(const data::DataChange& change) {
  // Not when it stays: a truncation that waits for this write has set the new size already.
  if (change.end_bytes > inode_.persisted_size) inode_.size = std::max(inode_.size, change.end_bytes);
  inode_.persisted_size = inode_.encoded_.size;
  inode_.blocks = inode_.encoded_.blocks;
  inode_.changed = inode_.home.slice.stream().current();
}

}  // namespace cowfs::fs
