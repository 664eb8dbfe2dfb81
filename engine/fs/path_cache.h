// Which directory the front of a path leads to, so that a long path costs two look-ups. An entry holds as long as no
// directory anywhere was moved or removed since its path was walked: `moves` counts that (FilesystemState).
#pragma once
#include <cstring>
#include <memory>
#include <string_view>

#include "engine/format/values.h"

namespace cowfs::fs {

class PathCache {
 public:
  PathCache() : entries_(std::make_unique<Entry[]>(places)) {}

  // 0 when it is not known.
  format::InodeNumber find(std::string_view front, u64 moves) const {
    const u64 hash = format::dirent_hash(front, 0);
    const Entry& entry = entries_[hash % places];
    const bool same = entry.hash == hash && entry.moves == moves && entry.bytes == front.size() &&
                      std::memcmp(entry.text, front.data(), front.size()) == 0;
    return same ? entry.directory : 0;
  }
  // `moves`: as it was before the path was walked. Long paths are not kept.
  void remember(std::string_view front, u64 moves, format::InodeNumber directory) {
    if (front.size() > sizeof(Entry::text)) return;
    const u64 hash = format::dirent_hash(front, 0);
    Entry& entry = entries_[hash % places];
    entry = {.directory = directory, .hash = hash, .moves = moves, .bytes = static_cast<u8>(front.size()), .text = {}};
    std::memcpy(entry.text, front.data(), front.size());
  }

 private:
  struct Entry {
    format::InodeNumber directory = 0;
    u64 hash = 0;
    u64 moves = 0;
    u8 bytes = 0;
    char text[103];
  };
  static_assert(sizeof(Entry) == 128);

  static constexpr u64 places = 2048;
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace cowfs::fs
