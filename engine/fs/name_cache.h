// What names of this core's directories lead to, the answer "nothing" included: one place for each hash, so a look-up
// touches one cache line or two instead of a path through the tree. A change of a name empties its place; nothing else
// can make an entry wrong.
#pragma once
#include <cstring>
#include <memory>
#include <string_view>

#include "engine/base/assert.h"
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

  // `places`: a power of two.
  explicit NameCache(std::size_t places) : places_(places), entries_(std::make_unique<Entry[]>(places)) {
    assert(std::has_single_bit(places));
  }

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
  u64 place(format::InodeNumber directory, u64 hash) const {
    return ((hash >> 4) ^ directory * 0x9e3779b97f4a7c15) & (places_ - 1);
  }
  const u64 places_;
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace cowfs::fs
