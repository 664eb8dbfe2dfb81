// The locks of one operation on names: each inode's, on its own core, taken in order of inode numbers so that no two
// operations wait for each other. Locked inodes stay in memory.
#pragma once
#include <absl/container/inlined_vector.h>

#include "engine/fs/filesystem_state.h"

namespace cowfs::fs {

class Locks {
 public:
  explicit Locks(FilesystemState& state) : state_(state) {}
  Locks(const Locks&) = delete;
  Locks& operator=(const Locks&) = delete;
  ~Locks() { assert(held_.empty()); }

  // Zeros and doubles are skipped. Error inode_missing and those of reading it; nothing is held then.
  Task<Status> acquire(InodeNumber first, InodeNumber second = 0, InodeNumber third = 0, InodeNumber fourth = 0);
  Task<void> release();

 private:
  Task<Status> acquire_sorted();
  static Task<Status> lock_one(FilesystemState& state, InodeNumber inode);
  static Task<Status> unlock_one(FilesystemState& state, InodeNumber inode);

  FilesystemState& state_;
  absl::InlinedVector<InodeNumber, 4> wanted_;
  absl::InlinedVector<InodeNumber, 4> held_;
};

}  // namespace cowfs::fs
