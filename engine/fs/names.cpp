// From a path to an inode. Directories of this core are looked up in the tree without waiting; names in directories of other
// cores are remembered here until their owner takes them back.
#include "engine/base/points.h"
#include "engine/fs/operations.h"

namespace cowfs::fs {

using format::Dirent;
using format::FileType;

namespace {

constexpr unsigned symlinks_max = 40;
constexpr std::size_t path_bytes_max = 4095;

// What stands before the last name of a path; empty when that is the root, or when no name ends the path.
std::string_view front_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  const std::string_view name = path.substr(slash + 1);
  return name.empty() || name == "." || name == ".." ? std::string_view{} : path.substr(0, slash);
}

}  // namespace

// A path that is being walked: what is left of it, and the memory for what symlinks put in its end.
struct Operations::Walk {
  std::string_view rest;
  std::string storage;
  unsigned symlinks = 0;
  InodeNumber at = format::root_inode;

  // The next name; empty at the end. `last`: nothing but slashes follows.
  std::string_view next(bool& last) {
    while (!rest.empty() && rest.front() == '/') rest.remove_prefix(1);
    const std::size_t length = std::min(rest.find('/'), rest.size());
    const std::string_view name = rest.substr(0, length);
    rest.remove_prefix(length);
    last = rest.find_first_not_of('/') == std::string_view::npos;
    return name;
  }
};

Task<Status> Operations::step_remote(InodeNumber directory, std::string_view name, Dirent& entry) {
  CoreState& here = state_.here();
  const CoreIndex owner = state_.core_of(directory);
  const CoreIndex me = here.core();
  struct Answer {
    Dirent entry;
    bool remember = false;
  };
  struct Ask {
    FilesystemState& state;
    InodeNumber directory;
    std::string_view name;
    CoreIndex me;
    static Task<Result<Answer>> run(Ask ask) {
      CoreState& core = ask.state.here();
      const Result<Inode*> inode = co_await core.get_inode(ask.directory);
      if (!inode) co_return inode.error();
      if (!(*inode)->is_directory()) co_return Error{Code::not_a_directory, ask.directory};
      const Result<Dirent> found = co_await core.look_up(ask.directory, ask.name);
      if (!found) co_return found.error();
      Answer answer;
      answer.entry = *found;
      // While the directory is being changed, nobody may start to rely on its names.
      Inode* again = core.find_inode(ask.directory);
      if (again != nullptr && !again->lock.held() && found->type == FileType::directory) {
        again->remote_readers.set(ask.me);
        answer.remember = true;
      }
      co_return answer;
    }
  };
  const Ask ask{state_, directory, name, me};
  auto function = [ask] { return Ask::run(ask); };
  const u64 forgets = here.remote_forgets();
  const Result<Answer> answer = co_await state_.call(owner, function);
  if (!answer) co_return answer.error();
  entry = answer->entry;
  // The answer may have been taken back before it was heard.
  if (!answer->remember) co_return Status{};
  if (forgets == here.remote_forgets()) {
    here.remember_remote(directory, name, {entry.inode, entry.type});
  } else {
    reached(Point::remote_name_overtaken);
  }
  co_return Status{};
}

// Error no_such_entry, not_a_directory.
Task<Status> Operations::step(InodeNumber directory, std::string_view name, Dirent& entry) {
  if (!state_.is_here(directory)) {
    if (const CoreState::RemoteName* known = state_.here().find_remote(directory, name)) {
      entry.inode = known->inode;
      entry.type = known->type;
      co_return Status{};
    }
    co_return co_await step_remote(directory, name, entry);
  }
  const Result<Dirent> found = co_await state_.here().look_up(directory, name);
  if (!found) co_return found.error();
  entry = *found;
  co_return Status{};
}

Task<Result<InodeNumber>> Operations::parent_of(InodeNumber directory) {
  struct Ask {
    FilesystemState& state;
    InodeNumber directory;
    static Task<Result<InodeNumber>> run(Ask ask) {
      const Result<Inode*> inode = co_await ask.state.here().get_inode(ask.directory);
      if (!inode) co_return inode.error();
      const InodeNumber parent = (*inode)->parent;
      if (!ask.state.has_slice_of(parent)) co_return Error{Code::inode_missing, parent};
      co_return parent;
    }
  };
  const Ask ask{state_, directory};
  auto function = [ask] { return Ask::run(ask); };
  co_return co_await state_.call(state_.core_of(directory), function);
}

Task<Status> Operations::enter_symlink(Walk& walk, InodeNumber link) {
  if (++walk.symlinks > symlinks_max) co_return Error{Code::symlink_loop, link};
  auto read = [this, link] { return read_link_here(link); };
  const Result<std::string> target = co_await state_.call(state_.core_of(link), read);
  if (!target) co_return target.error();
  if (target->empty()) co_return Error{Code::no_such_entry, link};
  std::string path = *target;
  if (!walk.rest.empty()) path += '/';
  path += walk.rest;
  if (path.size() > path_bytes_max + 1) co_return Error{Code::name_too_long, path.size()};
  walk.storage = std::move(path);
  walk.rest = walk.storage;
  if (walk.rest.front() == '/') walk.at = format::root_inode;
  co_return Status{};
}

// Where `path` ends. A missing last name is an answer (inode 0), a missing directory an error.
Task<Result<Operations::PathEnd>> Operations::resolve(std::string_view path, bool follow) {
  if (path.empty() || path.front() != '/') co_return Error{Code::name_invalid, path.size()};
  if (path.size() > path_bytes_max) co_return Error{Code::name_too_long, path.size()};
  Walk walk;
  walk.rest = path;
  PathEnd end;
  end.inode = format::root_inode;
  end.type = FileType::directory;
  CoreState& here = state_.here();
  const std::string_view front = front_of(path);
  const u64 moves = state_.directory_moves();
  const InodeNumber known = front.empty() ? 0 : here.paths().find(front, moves);
  if (known != 0) {
    walk.at = end.inode = known;
    walk.rest.remove_prefix(front.size());
  }
  while (true) {
    bool last = false;
    const bool wants_directory = !walk.rest.empty() && walk.rest.back() == '/';
    const std::string_view name = walk.next(last);
    if (name.empty()) break;
    if (name.size() > format::name_bytes_max) co_return Error{Code::name_too_long, name.size()};
    if (end.type != FileType::directory) co_return Error{Code::not_a_directory, end.inode};
    if (name == ".") continue;
    if (name == "..") {
      const Result<InodeNumber> parent = co_await parent_of(walk.at);
      if (!parent) co_return parent.error();
      walk.at = end.inode = *parent;
      end.parent = 0;
      end.name = {};
      continue;
    }
    Dirent entry;
    // The way that almost every step takes: a directory of this core, in memory.
    slice::Missing missing;
    CoreState::Answer answer = CoreState::Answer::missing;
    if (state_.is_here(walk.at)) answer = here.look_up(walk.at, name, entry, missing);
    if (answer == CoreState::Answer::missing) {
      const Status found = co_await step(walk.at, name, entry);
      if (!found && found.error().code != Code::no_such_entry) co_return found.error();
      answer = found ? CoreState::Answer::found : CoreState::Answer::absent;
    }
    end.parent = walk.at;
    end.name = name;
    if (answer == CoreState::Answer::absent) {
      if (!last) co_return Error{Code::no_such_entry, walk.at};
      end.inode = 0;
      end.type = FileType::unknown;
      break;
    }
    if (!state_.has_slice_of(entry.inode)) co_return Error{Code::inode_missing, entry.inode};
    if (entry.type == FileType::symlink && (!last || follow || wants_directory)) {
      const Status entered = co_await enter_symlink(walk, entry.inode);
      if (!entered) co_return entered.error();
      end.inode = walk.at;
      end.type = FileType::directory;
      continue;
    }
    end.inode = entry.inode;
    end.type = entry.type;
    walk.at = entry.inode;
    if (last && wants_directory && end.type != FileType::directory) co_return Error{Code::not_a_directory, end.inode};
  }
  if (known == 0 && !front.empty() && walk.symlinks == 0) here.paths().remember(front, moves, end.parent);
  if (!walk.storage.empty()) {
    end.storage = std::make_shared<const std::string>(end.name);
    end.name = *end.storage;
  }
  co_return end;
}

Task<Result<InodeNumber>> Operations::resolve_existing(std::string_view path, bool follow) {
  const Result<PathEnd> end = co_await resolve(path, follow);
  if (!end) co_return end.error();
  if (end->inode == 0) co_return Error{Code::no_such_entry, end->parent};
  co_return end->inode;
}

// For operations that make or remove a name: the parent and the last name must be there.
Task<Result<Operations::PathEnd>> Operations::resolve_new(std::string_view path) {
  Result<PathEnd> end = co_await resolve(path, false);
  if (end && end->name.empty()) co_return Error{Code::name_invalid, 0};
  co_return end;
}

}  // namespace cowfs::fs
