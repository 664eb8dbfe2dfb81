// Renaming: up to four inodes (two directories, what moves, what is replaced), on up to four cores, in one epoch.
#include <linux/fs.h>

#include "engine/fs/operations.h"

namespace cowfs::fs {

using format::Dirent;
using format::FileType;

namespace {

constexpr unsigned flags_known = RENAME_NOREPLACE | RENAME_EXCHANGE;
constexpr unsigned depth_max = 4096;

}  // namespace

Task<Status> Operations::rename(std::string_view from, std::string_view to, unsigned flags) {
  const bool both = (flags & RENAME_NOREPLACE) != 0 && (flags & RENAME_EXCHANGE) != 0;
  if ((flags & ~flags_known) != 0 || both) co_return Error{Code::argument_invalid, flags};
  const Result<PathEnd> source = co_await resolve_new(from);
  if (!source) co_return source.error();
  if (source->inode == 0) co_return Error{Code::no_such_entry, source->parent};
  const Result<PathEnd> target = co_await resolve_new(to);
  if (!target) co_return target.error();
  const RenameEnds ends{source->parent, source->name, target->parent, target->name, flags};

  // Two directories that move below each other at once would make a ring; so directories change parents one at a time.
  const bool serial = source->parent != target->parent &&
                      (source->type == FileType::directory || target->type == FileType::directory);
  FilesystemState& state = state_;
  if (serial) {
    auto lock = [&state] { return rename_lock(state); };
    const Status locked = co_await state_.call(CoreIndex{0}, lock);
    assert(locked.ok());
  }
  auto there = [this, ends] { return rename_entry(ends); };
  const Status result = co_await state_.call(state_.core_of(ends.from_parent), there);
  if (serial) {
    auto unlock = [&state] { state.rename_lock().release(); };
    co_await runtime::on(CoreIndex{0}, std::move(unlock));
  }
  co_return result;
}

Task<Status> Operations::rename_lock(FilesystemState& state) {
  co_await state.rename_lock().acquire();
  co_return Status{};
}

// A name in any directory; inode 0 when there is none.
Task<Result<Dirent>> Operations::look_up_anywhere(InodeNumber directory, std::string_view name) {
  struct Ask {
    FilesystemState& state;
    InodeNumber directory;
    std::string_view name;
    static Task<Result<Dirent>> run(Ask ask) {
      const Result<Dirent> found = co_await ask.state.here().look_up(ask.directory, ask.name);
      if (!found && found.error().code == Code::no_such_entry) co_return Dirent{};
      co_return found;
    }
  };
  const Ask ask{state_, directory, name};
  auto function = [ask] { return Ask::run(ask); };
  co_return co_await state_.call(state_.core_of(directory), function);
}

Task<Status> Operations::rename_entry(RenameEnds ends) {
  while (true) {
    const Result<Dirent> source = co_await look_up_anywhere(ends.from_parent, ends.from);
    if (!source) co_return source.error();
    if (source->inode == 0) co_return Error{Code::no_such_entry, ends.from_parent};
    const Result<Dirent> target = co_await look_up_anywhere(ends.to_parent, ends.to);
    if (!target) co_return target.error();
    Locks locks(state_);
    const Status locked = co_await locks.acquire(ends.from_parent, ends.to_parent, source->inode, target->inode);
    if (!locked) co_return locked;
    const Result<Dirent> source_again = co_await look_up_anywhere(ends.from_parent, ends.from);
    const Result<Dirent> target_again = co_await look_up_anywhere(ends.to_parent, ends.to);
    const bool same = source_again && target_again && source_again->inode == source->inode &&
                      target_again->inode == target->inode;
    Status result;
    if (same) {
      const RenameView view{*source_again, *target_again};
      result = co_await rename_locked(ends, view);
    }
    co_await locks.release();
    if (same) co_return result;
    if (!source_again) co_return source_again.error();
    if (!target_again) co_return target_again.error();
  }
}

Task<Status> Operations::rename_locked(RenameEnds ends, RenameView view) {
  const bool exchange = (ends.flags & RENAME_EXCHANGE) != 0;
  const bool source_directory = view.source.type == FileType::directory;
  const bool target_directory = view.target.type == FileType::directory;
  const bool replaces = view.target.inode != 0;
  if (exchange && !replaces) co_return Error{Code::no_such_entry, ends.to_parent};
  if (replaces && (ends.flags & RENAME_NOREPLACE) != 0) co_return Error{Code::entry_exists, view.target.inode};
  if (view.source.inode == view.target.inode) co_return Status{};
  const Result<Attributes> new_home = co_await attributes_of(ends.to_parent);
  if (!new_home) co_return new_home.error();
  if (new_home->links == 0) co_return Error{Code::no_such_entry, ends.to_parent};

  const bool moves = ends.from_parent != ends.to_parent;
  if (moves && source_directory) {
    const Status sound = co_await check_not_below(view.source.inode, ends.to_parent);
    if (!sound) co_return sound;
  }
  if (replaces && !exchange) {
    if (source_directory && !target_directory) co_return Error{Code::not_a_directory, view.target.inode};
    if (!source_directory && target_directory) co_return Error{Code::is_a_directory, view.target.inode};
    if (target_directory) {
      const Result<bool> empty = co_await is_empty(view.target.inode);
      if (!empty) co_return empty.error();
      if (!*empty) co_return Error{Code::directory_not_empty, view.target.inode};
    }
  }
  if (moves && exchange && target_directory) {
    const Status sound = co_await check_not_below(view.target.inode, ends.from_parent);
    if (!sound) co_return sound;
  }
  // A file that replaces another one brings its data along: after a crash the name leads to the old content or to the new.
  if (replaces && !exchange && view.source.type == FileType::regular) {
    const Status written = co_await write_back_anywhere(view.source.inode);
    if (!written) co_return written;
  }
  ChangeSet changes = rename_changes(ends, view);
  co_return co_await run(changes);
}

ChangeSet Operations::rename_changes(const RenameEnds& ends, const RenameView& view) const {
  const bool exchange = (ends.flags & RENAME_EXCHANGE) != 0;
  const bool source_directory = view.source.type == FileType::directory;
  const bool target_directory = view.target.type == FileType::directory;
  const bool replaces = view.target.inode != 0 && !exchange;
  const bool moves = ends.from_parent != ends.to_parent;

  ChangeSet changes;
  const InodeNumber left_behind = exchange ? view.target.inode : 0;
  changes.names.push_back({ends.from_parent, ends.from, left_behind, view.target.type});
  changes.names.push_back({ends.to_parent, ends.to, view.source.inode, view.source.type});

  InodeChange source;
  source.inode = view.source.inode;
  source.changed = true;
  if (source_directory && moves) source.parent = ends.to_parent;
  changes.inodes.push_back(source);
  if (view.target.inode != 0) {
    InodeChange target;
    target.inode = view.target.inode;
    target.changed = true;
    if (replaces) target.links = target_directory ? -2 : -1;
    if (exchange && target_directory && moves) target.parent = ends.from_parent;
    changes.inodes.push_back(target);
  }

  const i64 source_link = source_directory ? 1 : 0;
  const i64 target_link = target_directory ? 1 : 0;
  InodeChange from;
  from.inode = ends.from_parent;
  from.modified = true;
  from.size = exchange ? 0 : -1;
  from.links = exchange ? target_link - source_link : -source_link;
  InodeChange to;
  to.inode = ends.to_parent;
  to.modified = true;
  to.size = exchange || replaces ? 0 : 1;
  to.links = exchange ? source_link - target_link : source_link - (replaces ? target_link : 0);
  if (!moves) {
    from.size += to.size;
    from.links += to.links;
    changes.inodes.push_back(from);
  } else {
    changes.inodes.push_back(from);
    changes.inodes.push_back(to);
  }
  return changes;
}

// Error directory_into_itself: `directory` is `moved` or lies below it.
Task<Status> Operations::check_not_below(InodeNumber moved, InodeNumber directory) {
  InodeNumber at = directory;
  for (unsigned depth = 0; depth < depth_max; ++depth) {
    if (at == moved) co_return Error{Code::directory_into_itself, moved};
    if (at == format::root_inode) co_return Status{};
    const Result<InodeNumber> parent = co_await parent_of(at);
    if (!parent) co_return parent.error();
    at = *parent;
  }
  co_return Error{Code::directory_into_itself, moved};
}

Task<Status> Operations::write_back_anywhere(InodeNumber inode) {
  struct Ask {
    FilesystemState& state;
    InodeNumber inode;
    static Task<Status> run(Ask ask) {
      const Result<Inode*> found = co_await ask.state.here().get_inode(ask.inode);
      if (!found) co_return found.error();
      const Result<Epoch> written = co_await ask.state.here().write_back(**found);
      co_return written ? Status{} : Status{written.error()};
    }
  };
  const Ask ask{state_, inode};
  auto function = [ask] { return Ask::run(ask); };
  co_return co_await state_.call(state_.core_of(inode), function);
}

}  // namespace cowfs::fs
