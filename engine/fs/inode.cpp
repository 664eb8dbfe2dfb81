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
  Attributes attributes;
  attributes.inode = number;
  attributes.mode = mode;
  attributes.links = links;
  attributes.user = user;
  attributes.group = group;
  attributes.size = size;
  attributes.blocks_512 = blocks * (block_bytes / 512);
  attributes.device = device;
  attributes.access_ns = access_ns;
  attributes.modify_ns = modify_ns;
  attributes.change_ns = change_ns;
  attributes.birth_ns = birth_ns;
  return attributes;
}

data::FileData& Inode::file_data() {
  if (!data_) {
    data_ = std::make_unique<data::FileData>(home.data, number, is_new);
  }
  return *data_;
}

slice::Update Inode::update(u64 data_end_bytes, bool complete) {
  encoded_ = encode();
  if (truncating) {
    encoded_.size = std::min(persisted_size, size);
    encoded_.flags = complete ? flags & ~format::inode_truncating : flags | format::inode_truncating;
  } else {
    encoded_.size = complete ? std::max(persisted_size, write_back_size)
                             : std::max(persisted_size, std::min(data_end_bytes, write_back_size));
  }
  return {format::TreeId::inodes, format::UpdateKind::upsert, key(), bytes_of(encoded_)};
}

void Inode::applied(u64, bool complete) {
  persisted_size = encoded_.size;
  flags = encoded_.flags;
  changed = home.slice.stream().current();
  // The size may be ahead still: of data that a direct write put in place, or that came meanwhile.
  if (complete) attributes_dirty = persisted_size != size;
}

}  // namespace cowfs::fs
