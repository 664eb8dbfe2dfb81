#include "engine/fs/locks.h"

#include <algorithm>

namespace cowfs::fs {

Task<Status> Locks::acquire(InodeNumber first, InodeNumber second, InodeNumber third, InodeNumber fourth) {
  wanted_.clear();
  for (InodeNumber inode : {first, second, third, fourth}) {
    if (inode != 0) wanted_.push_back(inode);
  }
  std::sort(wanted_.begin(), wanted_.end());
  wanted_.erase(std::unique(wanted_.begin(), wanted_.end()), wanted_.end());
  return acquire_sorted();
}

Task<Status> Locks::acquire_sorted() {
  for (InodeNumber number : wanted_) {
    FilesystemState& state = state_;
    // In memory and free, as almost always: no call.
    Inode* known = state.is_here(number) ? state.here().find_inode(number) : nullptr;
    Status locked;
    if (known != nullptr && known->lock.try_acquire()) {
      ++known->references;
    } else {
      auto lock = [&state, number] { return lock_one(state, number); };
      locked = co_await state.call(state.core_of(number), lock);
    }
    if (!locked) {
      co_await release();
      co_return locked;
    }
    held_.push_back(number);
  }
  co_return Status{};
}

Task<Status> Locks::lock_one(FilesystemState& state, InodeNumber number) {
  const Result<Inode*> found = co_await state.here().get_inode(number);
  if (!found) co_return found.error();
  Inode& inode = **found;
  ++inode.references;
  co_await inode.lock.acquire();
  if (!inode.dead) co_return Status{};
  inode.lock.release();
  --inode.references;
  state.here().release(inode);
  co_return Error{Code::inode_missing, number};
}

Task<Status> Locks::unlock_one(FilesystemState& state, InodeNumber number) {
  Inode* inode = state.here().find_inode(number);
  assert(inode != nullptr);
  inode->lock.release();
  --inode->references;
  state.here().release(*inode);
  co_return Status{};
}

Task<void> Locks::release() {
  while (!held_.empty()) {
    const InodeNumber number = held_.back();
    held_.pop_back();
    FilesystemState& state = state_;
    if (state.is_here(number)) {
      Inode* inode = state.here().find_inode(number);
      assert(inode != nullptr);
      inode->lock.release();
      --inode->references;
      state.here().release(*inode);
      continue;
    }
    auto unlock = [&state, number] { return unlock_one(state, number); };
    const Status unlocked = co_await state.call(state.core_of(number), unlock);
    assert(unlocked.ok());
  }
}

}  // namespace cowfs::fs
