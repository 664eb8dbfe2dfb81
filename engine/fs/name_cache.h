// What names of this core's directories lead to, the answer "nothing" included: one place for each hash, so a look-up
// touches one cache line or two instead of a path through the tree. A change of a name empties its place; nothing else
// can make an entry wrong.
#pragma once
#include <cstring>
#include <memory>
#include <string_view>

#include "engine/format/values.h"

namespace cowfs::fs {

class NameCache {
 public:
  struct Entry {  // 64 bytes
    format::InodeNumber directory = 0;  // 0: the place is empty
    u64 hash = 0;
    format::InodeNumber inode = 0;  // 0: there is no such name
    format::FileType type = format::FileType::unknown;
    u8 name_bytes = 0;
    char name[38];
  };
  static_assert(sizeof(Entry) == 64);

  NameCache() : entries_(std::make_unique<Entry[]>(places_)) {}

  // Null when it is not known.
  const Entry* find(format::InodeNumber directory, u64 hash, std::string_view name) const {
    const Entry& entry = entries_[place(directory, hash)];
    const bool same = entry.hash == hash && entry.directory == directory && entry.name_bytes == name.size() &&
                      std::memcmp(entry.name, name.data(), name.size()) == 0;
    return same ? &entry : nullptr;
  }
  // Long names are not kept.
  void remember(format::InodeNumber directory, u64 hash, std::string_view name, format::InodeNumber inode,
                format::FileType type) {
    if (name.size() > sizeof(Entry::name)) return;
    Entry& entry = entries_[place(directory, hash)];
    entry.directory = directory;
    entry.hash = hash;
    entry.inode = inode;
    entry.type = type;
    entry.name_bytes = static_cast<u8>(name.size());
    std::memcpy(entry.name, name.data(), name.size());
  }
  void forget(format::InodeNumber directory, u64 hash) { entries_[place(directory, hash)].directory = 0; }

 private:
  static constexpr u64 places_ = 32768;  // 2 MiB a core
  static u64 place(format::InodeNumber directory, u64 hash) {
    return ((hash >> 4) ^ directory * 0x9e3779b97f4a7c15) % places_;
  }
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace cowfs::fs
