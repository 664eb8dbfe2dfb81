// Making and removing names. Each operation runs on the core of its directory: it locks, checks, and hands a change set to
// run(). What it checked stays true because nobody changes a locked inode.
#include <sys/stat.h>

#include "engine/fs/operations.h"

namespace cowfs::fs {

using format::Dirent;
using format::FileType;

namespace {

constexpr u32 links_max = 65000;

FileType type_of(u32 mode) { return static_cast<FileType>((mode & S_IFMT) >> 12); }

InodeChange created(InodeNumber inode, u32 mode, u64 device) {
  InodeChange change;
  change.inode = inode;
  change.created = true;
  change.links = S_ISDIR(mode) ? 2 : 1;
  change.mode = mode;
  change.device = device;
  return change;
}

InodeChange directory_grew(InodeNumber directory, i64 entries, i64 links) {
  InodeChange change;
  change.inode = directory;
  change.size = entries;
  change.links = links;
  change.modified = true;
  return change;
}

}  // namespace

// Answers the inode that has the name: the new one, or, unless node.exclusive, the one that had it.
// Errors: entry_exists, no_such_entry (the directory was removed).
Task<Result<InodeNumber>> Operations::create(InodeNumber parent, std::string_view name, NewNode node) {
  Locks locks(state_);
  const Status locked = co_await locks.acquire(parent);
  if (!locked) co_return locked.error();
  const Result<InodeNumber> result = co_await create_locked(parent, name, node);
  co_await locks.release();
  co_return result;
}

Task<Result<InodeNumber>> Operations::create_locked(InodeNumber parent, std::string_view name, NewNode node) {
  CoreState& here = state_.here();
  const Result<Dirent> found = co_await here.look_up(parent, name);
  if (found && node.exclusive) co_return Error{Code::entry_exists, found->inode};
  if (found) co_return found->inode;
  if (found.error().code != Code::no_such_entry) co_return found.error();
  Inode& directory = *here.find_inode(parent);
  if (!directory.is_directory()) co_return Error{Code::not_a_directory, parent};
  if (directory.links == 0) co_return Error{Code::no_such_entry, parent};
  const bool is_directory = S_ISDIR(node.mode);
  if (is_directory && directory.links >= links_max) co_return Error{Code::too_many_links, parent};
  if (here.data().tokens.free() == 0) {
    const Status room = co_await wait_for_tokens();
    if (!room) co_return room.error();
  }
  InodeNumber number;
  if (state_.is_here(format::inode_number(node.slice, 1))) {
    number = format::inode_number(node.slice, here.slice(node.slice).slice.take_inode_counter());
  } else {
    const Result<InodeNumber> made = co_await new_inode_number(node.slice);
    if (!made) co_return made.error();
    number = *made;
  }
  ChangeSet changes;
  changes.names.push_back({parent, name, number, type_of(node.mode)});
  InodeChange child = created(number, node.mode, node.device);
  if (is_directory) child.parent = parent;
  changes.inodes.push_back(child);
  changes.inodes.push_back(directory_grew(parent, 1, is_directory ? 1 : 0));
  const Status done = co_await run(changes);
  if (!done) co_return done.error();
  co_return number;
}

// Names and attributes take no tokens, but are charged later, with all metadata: there must be some left.
Task<Status> Operations::wait_for_tokens() {
  data::SpaceTokens& tokens = state_.here().data().tokens;
  const Status taken = co_await tokens.take(1);
  if (taken) tokens.give(1);
  co_return taken;
}

Task<Result<InodeNumber>> Operations::new_inode_number(u16 slice) {
  struct Take {
    FilesystemState& state;
    u16 slice;
    static Task<Result<InodeNumber>> run(Take take) {
      co_return format::inode_number(take.slice, take.state.here().slice(take.slice).slice.take_inode_counter());
    }
  };
  const Take take{state_, slice};
  auto function = [take] { return Take::run(take); };
  co_return co_await state_.call(state_.core_of_slice(slice), function);
}

Task<Status> Operations::mkdir(std::string_view path, u32 mode) {
  const Result<PathEnd> end = co_await resolve_new(path);
  if (!end) co_return end.error();
  if (end->inode != 0) co_return Error{Code::entry_exists, end->inode};
  // A directory stays in its parent's slice, unless another core makes it: then it lives with that core from now on.
  NewNode node;
  node.mode = S_IFDIR | (mode & 07777);
  const bool elsewhere = !state_.is_here(end->parent) && state_.here().has_slices();
  node.slice = elsewhere ? state_.here().slice_for_new_directory() : format::slice_of(end->parent);
  const InodeNumber parent = end->parent;
  const std::string_view name = end->name;
  auto make = [this, parent, name, node] { return create(parent, name, node); };
  const Result<InodeNumber> made = co_await state_.call(state_.core_of(parent), make);
  co_return made ? Status{} : Status{made.error()};
}

Task<Status> Operations::make_node(std::string_view path, u32 mode, u64 device) {
  if (S_ISDIR(mode) || S_ISLNK(mode)) co_return Error{Code::argument_invalid, mode};
  const Result<PathEnd> end = co_await resolve_new(path);
  if (!end) co_return end.error();
  if (end->inode != 0) co_return Error{Code::entry_exists, end->inode};
  NewNode node;
  node.mode = (mode & S_IFMT) == 0 ? mode | S_IFREG : mode;
  node.device = device;
  node.slice = format::slice_of(end->parent);
  const InodeNumber parent = end->parent;
  const std::string_view name = end->name;
  auto make = [this, parent, name, node] { return create(parent, name, node); };
  const Result<InodeNumber> made = co_await state_.call(state_.core_of(parent), make);
  co_return made ? Status{} : Status{made.error()};
}

Task<Status> Operations::symlink(std::string_view target, std::string_view path) {
  if (target.empty() || target.size() > 4095) co_return Error{Code::name_too_long, target.size()};
  const Result<PathEnd> end = co_await resolve_new(path);
  if (!end) co_return end.error();
  if (end->inode != 0) co_return Error{Code::entry_exists, end->inode};
  const InodeNumber parent = end->parent;
  const std::string_view name = end->name;
  auto make = [this, parent, name, target] { return make_symlink(parent, name, target); };
  co_return co_await state_.call(state_.core_of(parent), make);
}

// The inode is made as an orphan, and its name appears when the target is in place: no crash leaves a link to nothing.
Task<Status> Operations::make_symlink(InodeNumber parent, std::string_view name, std::string_view target) {
  Locks locks(state_);
  const Status locked = co_await locks.acquire(parent);
  if (!locked) co_return locked;
  const Status result = co_await make_symlink_locked(parent, name, target);
  co_await locks.release();
  co_return result;
}

Task<Status> Operations::make_symlink_locked(InodeNumber parent, std::string_view name, std::string_view target) {
  CoreState& here = state_.here();
  const Result<Dirent> found = co_await here.look_up(parent, name);
  if (found) co_return Error{Code::entry_exists, found->inode};
  if (found.error().code != Code::no_such_entry) co_return found.error();
  const Inode& directory = *here.find_inode(parent);
  if (!directory.is_directory()) co_return Error{Code::not_a_directory, parent};
  if (directory.links == 0) co_return Error{Code::no_such_entry, parent};
  if (here.data().tokens.free() == 0) {
    const Status room = co_await wait_for_tokens();
    if (!room) co_return room;
  }

  const u16 slice = format::slice_of(parent);
  const InodeNumber number = format::inode_number(slice, here.slice(slice).slice.take_inode_counter());
  ChangeSet orphan;
  InodeChange child = created(number, S_IFLNK | 0777, 0);
  child.links = 0;
  orphan.inodes.push_back(child);
  Status result = co_await run(orphan);
  if (!result) co_return result;
  Inode& inode = *here.find_inode(number);
  ++inode.references;
  const ByteSpan bytes{reinterpret_cast<const std::byte*>(target.data()), target.size()};
  const Result<u64> put = co_await inode.file_data().write(0, bytes, nullptr);  // one block: all of it or nothing
  if (!put) result = put.error();
  if (result) {
    inode.size = target.size();
    inode.attributes_dirty = true;
    const Result<Epoch> written = co_await here.write_back(inode);
    if (!written) result = written.error();
  }
  if (result) {
    ChangeSet changes;
    changes.names.push_back({parent, name, number, FileType::symlink});
    InodeChange named;
    named.inode = number;
    named.links = 1;
    changes.inodes.push_back(named);
    changes.inodes.push_back(directory_grew(parent, 1, 0));
    result = co_await run(changes);
  }
  --inode.references;
  here.release(inode);
  co_return result;
}

Task<Status> Operations::unlink(std::string_view path) {
  const Result<PathEnd> end = co_await resolve_new(path);
  if (!end) co_return end.error();
  if (end->inode == 0) co_return Error{Code::no_such_entry, end->parent};
  const InodeNumber parent = end->parent;
  const std::string_view name = end->name;
  auto unlink_there = [this, parent, name] { return remove(parent, name, false); };
  co_return co_await state_.call(state_.core_of(parent), unlink_there);
}

Task<Status> Operations::rmdir(std::string_view path) {
  const Result<PathEnd> end = co_await resolve_new(path);
  if (!end) co_return end.error();
  if (end->inode == 0) co_return Error{Code::no_such_entry, end->parent};
  const InodeNumber parent = end->parent;
  const std::string_view name = end->name;
  auto remove_there = [this, parent, name] { return remove(parent, name, true); };
  co_return co_await state_.call(state_.core_of(parent), remove_there);
}

Task<Status> Operations::remove(InodeNumber parent, std::string_view name, bool directory) {
  while (true) {
    const Result<Dirent> found = co_await state_.here().look_up(parent, name);
    if (!found) co_return found.error();
    if (directory && found->type != FileType::directory) co_return Error{Code::not_a_directory, found->inode};
    if (!directory && found->type == FileType::directory) co_return Error{Code::is_a_directory, found->inode};
    Locks locks(state_);
    const Status locked = co_await locks.acquire(parent, found->inode);
    if (!locked) co_return locked;
    const Result<Dirent> again = co_await state_.here().look_up(parent, name);
    const bool same = again && again->inode == found->inode;
    Status result;
    if (same) result = co_await remove_locked(parent, name, found->inode, directory);
    co_await locks.release();
    if (same) co_return result;
    if (!again) co_return again.error();
  }
}

Task<Status> Operations::remove_locked(InodeNumber parent, std::string_view name, InodeNumber child, bool directory) {
  if (directory) {
    const Result<bool> empty = co_await is_empty(child);
    if (!empty) co_return empty.error();
    if (!*empty) co_return Error{Code::directory_not_empty, child};
  }
  ChangeSet changes;
  changes.names.push_back({parent, name, 0, FileType::unknown});
  changes.inodes.push_back(directory_grew(parent, -1, directory ? -1 : 0));
  InodeChange gone;
  gone.inode = child;
  gone.links = directory ? -2 : -1;
  gone.changed = true;
  // The common end of a short-lived file: nobody has it open and none of its data ever reached the medium.
  Inode* inode = state_.is_here(child) ? state_.here().find_inode(child) : nullptr;
  const bool erase = inode != nullptr && !directory && inode->links == 1 && inode->references == 1 && inode->is_regular() &&
                     inode->size <= state_.region_bytes() && inode->file_data().has_no_extents() && !inode->has_xattrs;
  gone.erased = erase;
  changes.inodes.push_back(gone);
  const Status done = co_await run(changes);
  if (done && erase) inode->dead = inode->erased = true;
  co_return done;
}

// Error: of reading. The directory is locked, so the answer stays true.
Task<Result<bool>> Operations::is_empty(InodeNumber directory) {
  struct Ask {
    FilesystemState& state;
    InodeNumber directory;
    static Task<Result<bool>> run(Ask ask) {
      const Result<Inode*> inode = co_await ask.state.here().get_inode(ask.directory);
      if (!inode) co_return inode.error();
      co_return (*inode)->size == 0;
    }
  };
  const Ask ask{state_, directory};
  auto function = [ask] { return Ask::run(ask); };
  co_return co_await state_.call(state_.core_of(directory), function);
}

Task<Status> Operations::link(std::string_view existing, std::string_view path) {
  const Result<PathEnd> source = co_await resolve(existing, false);
  if (!source) co_return source.error();
  if (source->inode == 0) co_return Error{Code::no_such_entry, source->parent};
  if (source->type == FileType::directory) co_return Error{Code::link_to_directory, source->inode};
  const Result<PathEnd> end = co_await resolve_new(path);
  if (!end) co_return end.error();
  if (end->inode != 0) co_return Error{Code::entry_exists, end->inode};
  const InodeNumber inode = source->inode;
  const InodeNumber parent = end->parent;
  const std::string_view name = end->name;
  auto add = [this, inode, parent, name] { return add_link(inode, parent, name); };
  co_return co_await state_.call(state_.core_of(parent), add);
}

Task<Status> Operations::add_link(InodeNumber inode, InodeNumber parent, std::string_view name) {
  Locks locks(state_);
  const Status locked = co_await locks.acquire(parent, inode);
  if (!locked) co_return locked;
  const Status result = co_await add_link_locked(inode, parent, name);
  co_await locks.release();
  co_return result;
}

Task<Status> Operations::add_link_locked(InodeNumber inode, InodeNumber parent, std::string_view name) {
  const Result<Dirent> found = co_await state_.here().look_up(parent, name);
  if (found) co_return Error{Code::entry_exists, found->inode};
  if (found.error().code != Code::no_such_entry) co_return found.error();
  if (state_.here().find_inode(parent)->links == 0) co_return Error{Code::no_such_entry, parent};
  const Result<Attributes> attributes = co_await attributes_of(inode);
  if (!attributes) co_return attributes.error();
  if (attributes->links == 0) co_return Error{Code::no_such_entry, parent};
  if (attributes->links >= links_max) co_return Error{Code::too_many_links, inode};
  if (state_.here().data().tokens.free() == 0) {
    const Status room = co_await wait_for_tokens();
    if (!room) co_return room;
  }
  ChangeSet changes;
  changes.names.push_back({parent, name, inode, type_of(attributes->mode)});
  InodeChange more;
  more.inode = inode;
  more.links = 1;
  more.changed = true;
  changes.inodes.push_back(more);
  changes.inodes.push_back(directory_grew(parent, 1, 0));
  co_return co_await run(changes);
}

}  // namespace cowfs::fs
