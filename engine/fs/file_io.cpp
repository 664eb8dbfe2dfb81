// Files: opening, reading, writing, making durable. Everything runs on the core of the file's home slice; a region that lives
// in another slice is read and written there.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "engine/fs/operations.h"

namespace cowfs::fs {

using format::FileType;

namespace {

constexpr u64 file_bytes_max = (1ull << 63) - 1;

bool may_read(int flags) { return (flags & O_ACCMODE) != O_WRONLY; }
bool may_write(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

bool is_direct(int flags, u64 offset, const std::byte* memory, u64 bytes) {
  return (flags & O_DIRECT) != 0 && (offset | bytes | reinterpret_cast<u64>(memory)) % block_bytes == 0;
}

// A write that goes on after `done` bytes answers with an error only when there are none.
Result<u64> sum(u64 done, Result<u64> more) {
  if (more) return done + *more;
  return done > 0 ? Result<u64>{done} : more;
}

}  // namespace

Task<Result<FileHandle>> Operations::open(std::string_view path, int flags, u32 mode) {
  const bool exclusive = (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0;
  Result<PathEnd> end = co_await resolve(path, !exclusive && (flags & O_NOFOLLOW) == 0);
  if (!end) co_return end.error();
  InodeNumber inode = end->inode;
  if (inode == 0) {
    if ((flags & O_CREAT) == 0) co_return Error{Code::no_such_entry, end->parent};
    if (end->name.empty()) co_return Error{Code::name_invalid, 0};
    NewNode node;
    node.mode = S_IFREG | (mode & 07777);
    node.slice = format::slice_of(end->parent);
    node.exclusive = exclusive;
    const InodeNumber parent = end->parent;
    const std::string_view name = end->name;
    if (state_.is_here(parent)) {
      const Result<InodeNumber> made = co_await create(parent, name, node);
      if (!made) co_return made.error();
      inode = *made;
    } else {
      auto make = [this, parent, name, node] { return create(parent, name, node); };
      const Result<InodeNumber> made = co_await state_.call(state_.core_of(parent), make);
      if (!made) co_return made.error();
      inode = *made;
    }
  } else {
    if (exclusive) co_return Error{Code::entry_exists, inode};
    if (end->type == FileType::symlink) co_return Error{Code::symlink_loop, inode};
    if ((flags & O_DIRECTORY) != 0 && end->type != FileType::directory) co_return Error{Code::not_a_directory, inode};
    if (end->type == FileType::directory && (may_write(flags) || (flags & O_CREAT) != 0)) {
      co_return Error{Code::is_a_directory, inode};
    }
  }
  if (state_.is_here(inode)) co_return co_await open_inode(inode, flags);
  auto there = [this, inode, flags] { return open_inode(inode, flags); };
  co_return co_await state_.call(state_.core_of(inode), there);
}

Task<Result<FileHandle>> Operations::open_inode(InodeNumber number, int flags) {
  CoreState& here = state_.here();
  Inode* inode = here.find_inode(number);
  if (inode == nullptr) {
    const Result<Inode*> found = co_await here.get_inode(number);
    if (!found) co_return found.error();
    inode = *found;
  }
  if (inode->links == 0) co_return Error{Code::no_such_entry, number};  // removed while we came here
  ++inode->references;
  if ((flags & O_TRUNC) != 0 && may_write(flags) && inode->is_regular() && inode->size > 0) {
    co_await inode->lock.acquire();
    const Status truncated = co_await here.truncate(*inode, 0);
    inode->lock.release();
    if (!truncated) {
      --inode->references;
      here.release(*inode);
      co_return truncated.error();
    }
  }
  co_return FileHandle{new OpenFile{inode, flags}, here.core()};
}

Task<Status> Operations::close(FileHandle handle) {
  if (is_here(handle)) return close_here(handle);
  auto there = [this, handle] { return close_here(handle); };
  return call_there(handle.core, there);
}

Task<Status> Operations::close_here(FileHandle handle) {
  OpenFile* open_file = &file(handle);
  Inode& inode = *open_file->inode;
  inode.range_locks.unlock_all(open_file);
  delete open_file;
  --inode.references;
  state_.here().release(inode);
  co_return Status{};
}

Task<Result<u64>> Operations::read(FileHandle handle, u64 offset, MutableByteSpan into) {
  if (is_here(handle)) return read_here(handle, offset, into);
  auto there = [this, handle, offset, into] { return read_here(handle, offset, into); };
  return call_there(handle.core, there);
}

Task<Result<u64>> Operations::read_here(FileHandle handle, u64 offset, MutableByteSpan into) {
  Inode& inode = *file(handle).inode;
  const int flags = file(handle).flags;
  if (!may_read(flags)) co_return Error{Code::handle_not_readable, inode.number};
  if (inode.is_directory()) co_return Error{Code::is_a_directory, inode.number};
  if (offset >= inode.size) co_return u64{0};
  into = into.first(std::min(into.size(), inode.size - offset));
  const u64 length = into.size();
  const bool direct = is_direct(flags, offset, into.data(), length);
  if (offset + length <= state_.region_bytes() && !direct) {
    data::FileData& data = inode.file_data();
    const u64 done = data.try_read(offset, into);
    if (done < length) {
      const Status read = co_await data.read(offset + done, into.subspan(done), std::min(inode.size, state_.region_bytes()));
      if (!read) co_return read.error();
    }
  } else {
    const Status read = co_await read_regions(inode, offset, into, direct);
    if (!read) co_return read.error();
  }
  state_.here().activity(format::Activity::read).add_bytes(length);
  co_return length;
}

Task<Result<u64>> Operations::write(FileHandle handle, u64 offset, ByteSpan from) {
  if (is_here(handle)) return write_here(handle, offset, from);
  auto there = [this, handle, offset, from] { return write_here(handle, offset, from); };
  return call_there(handle.core, there);
}

Task<Result<u64>> Operations::write_here(FileHandle handle, u64 offset, ByteSpan from) {
  Inode& inode = *file(handle).inode;
  const int flags = file(handle).flags;
  if (!may_write(flags)) co_return Error{Code::handle_not_writable, inode.number};
  if (state_.settings().read_only) co_return Error{Code::read_only_filesystem};
  if (from.empty()) co_return u64{0};
  while (true) {
    if ((flags & O_APPEND) != 0) offset = inode.size;
    if (offset > file_bytes_max - from.size()) co_return Error{Code::file_too_large, offset};
    if (state_.here().may_grow(inode, offset + from.size())) break;
    const Status prepared = co_await state_.here().prepare_growth(inode, offset + from.size());
    if (!prepared) co_return prepared.error();
  }
  const u64 end = offset + from.size();
  const bool append = (flags & O_APPEND) != 0;
  if (append) inode.size = end;  // the next append goes behind, whenever this one is done
  const bool direct = is_direct(flags, offset, from.data(), from.size());
  Result<u64> written = u64{0};
  if (end <= state_.region_bytes() && !direct) {
    data::FileData& data = inode.file_data();
    const u64 at_once = data.try_write(offset, from);
    written = at_once;
    if (at_once < from.size()) {
      if (at_once > 0) inode.cached(offset + at_once);
      const Result<u64> more = co_await data.write(offset + at_once, from.subspan(at_once), &inode.follower);
      written = sum(at_once, more);
    }
  } else {
    written = co_await write_regions(inode, offset, from, direct);
  }
  const u64 done = written ? *written : 0;
  if (append && done < from.size()) co_await take_back_append(inode, offset + done, end);
  if (!written) co_return written;
  state_.here().activity(format::Activity::write).add_bytes(done);
  inode.size = std::max(inode.size, offset + done);
  inode.modify_ns = inode.change_ns = runtime::this_reactor().wall_clock_ns();
  inode.attributes_dirty = true;
  if ((flags & O_DSYNC) != 0) {
    const Status synced = co_await fsync_here(handle);
    if (!synced) co_return synced.error();
  }
  co_return written;
}

// An append moved the end of the file to `end` before it had written up to there, and did not get further than `bytes`.
Task<void> Operations::take_back_append(Inode& inode, u64 bytes, u64 end) {
  co_await inode.lock.acquire();
  const runtime::MutexHold hold(inode.lock);
  if (inode.size == end) (void)co_await state_.here().truncate(inode, bytes);  // otherwise others went behind it
}

Task<Status> Operations::read_regions(Inode& inode, u64 offset, MutableByteSpan into, bool direct) {
  const InodeNumber number = inode.number;
  while (!into.empty()) {
    const u64 region = offset / state_.region_bytes();
    const u64 length = std::min(into.size(), (region + 1) * state_.region_bytes() - offset);
    // The last block of a file may be shorter than a direct read can be; such a rest goes through the cache.
    const bool direct_here = direct && length % block_bytes == 0;
    const MutableByteSpan part = into.first(length);
    const u64 ahead_end = std::min(inode.size, (region + 1) * state_.region_bytes());
    const u16 where = state_.slice_of_region(number, region);
    Status read;
    if (where == format::slice_of(number)) {
      if (direct_here) {
        read = co_await inode.file_data().read_direct(offset, part);
      } else {
        read = co_await inode.file_data().read(offset, part, ahead_end);
      }
    } else {
      const CoreIndex core = state_.core_of_slice(where);
      auto there = [this, core, number, where, offset, part, direct_here, ahead_end] {
        data::FileData& share = state_.core(core).share(number, where);
        return direct_here ? share.read_direct(offset, part) : share.read(offset, part, ahead_end);
      };
      read = co_await state_.call(core, there);
    }
    if (!read) co_return read;
    offset += length;
    into = into.subspan(length);
  }
  co_return Status{};
}

// Answers as FileData::write does.
Task<Result<u64>> Operations::write_regions(Inode& inode, u64 offset, ByteSpan from, bool direct) {
  const u64 region_left = state_.region_bytes() - offset % state_.region_bytes();
  return from.size() <= region_left ? write_region(inode, offset, from, direct)
                                    : write_each_region(inode, offset, from, direct);
}

Task<Result<u64>> Operations::write_each_region(Inode& inode, u64 offset, ByteSpan from, bool direct) {
  u64 done = 0;
  while (done < from.size()) {
    const u64 at = offset + done;
    const u64 length = std::min(from.size() - done, state_.region_bytes() - at % state_.region_bytes());
    const Result<u64> written = co_await write_region(inode, at, from.subspan(done, length), direct);
    if (!written || *written < length) co_return sum(done, written);
    done += length;
    if (!direct) inode.cached(offset + done);
  }
  co_return done;
}

Task<Result<u64>> Operations::write_region(Inode& inode, u64 offset, ByteSpan from, bool direct) {
  const InodeNumber number = inode.number;
  const u16 where = state_.slice_of_region(number, offset / state_.region_bytes());
  if (where == format::slice_of(number)) {
    return direct ? write_direct(inode, offset, from) : inode.file_data().write(offset, from, &inode.follower);
  }
  const CoreIndex core = state_.core_of_slice(where);
  auto there = [this, core, number, where, offset, from, direct] {
    data::FileData& share = state_.core(core).share(number, where);
    return direct ? share.write_direct(offset, from, nullptr) : share.write(offset, from, nullptr);
  };
  return state_.call(core, there);
}

// The new end of a file is in the transaction of the extents before it. A file never shows a size without its data, so what
// is dirty before a new end is written back first.
Task<Result<u64>> Operations::write_direct(Inode& inode, u64 offset, ByteSpan from) {
  if (offset + from.size() > inode.persisted_size && inode.file_data().is_dirty()) {
    return write_direct_behind_dirty(inode, offset, from);
  }
  inode.modify_ns = inode.change_ns = runtime::this_reactor().wall_clock_ns();
  return inode.file_data().write_direct(offset, from, &inode.follower);
}

Task<Result<u64>> Operations::write_direct_behind_dirty(Inode& inode, u64 offset, ByteSpan from) {
  const Result<Epoch> written = co_await state_.here().write_back(inode);
  if (!written) co_return written.error();
  inode.modify_ns = inode.change_ns = runtime::this_reactor().wall_clock_ns();
  co_return co_await inode.file_data().write_direct(offset, from, &inode.follower);
}

Task<Status> Operations::fsync(FileHandle handle) {
  if (is_here(handle)) return fsync_here(handle);
  auto there = [this, handle] { return fsync_here(handle); };
  return call_there(handle.core, there);
}

Task<Status> Operations::fsync_here(FileHandle handle) {
  Inode& inode = *file(handle).inode;
  CoreState& here = state_.here();
  ++inode.references;
  Epoch epoch = inode.changed;
  Status result;
  if (!inode.is_directory()) {
    const Result<Epoch> written = co_await here.write_back(inode, data::Then::commit);
    if (written) {
      epoch = std::max(*written, inode.changed);
    } else {
      result = written.error();
    }
  }
  if (result && epoch > here.stream().durable()) result = co_await here.stream().commit(epoch);
  --inode.references;
  here.release(inode);
  co_return result;
}

Task<Status> Operations::sync() {
  for (CoreIndex core = 0; core < state_.cores(); ++core) {
    auto there = [this, core] { return state_.core(core).write_back_all(); };
    const Status written = co_await state_.call(core, there);
    if (!written) co_return written;
  }
  journal::Stream& stream = state_.here().stream();
  co_return co_await stream.commit(stream.current());
}

Task<Status> Operations::truncate(FileHandle handle, u64 bytes) {
  if (is_here(handle)) return truncate_here(handle, bytes);
  auto there = [this, handle, bytes] { return truncate_here(handle, bytes); };
  return call_there(handle.core, there);
}

Task<Status> Operations::truncate_here(FileHandle handle, u64 bytes) {
  Inode& inode = *file(handle).inode;
  if (!may_write(file(handle).flags)) co_return Error{Code::handle_not_writable, inode.number};
  if (!inode.is_regular()) co_return Error{Code::argument_invalid, inode.mode};
  if (bytes > file_bytes_max) co_return Error{Code::file_too_large, bytes};
  ++inode.references;
  co_await inode.lock.acquire();
  const Status result = co_await state_.here().truncate(inode, bytes);
  inode.lock.release();
  --inode.references;
  state_.here().release(inode);
  co_return result;
}

Task<Status> Operations::allocate(FileHandle handle, int mode, u64 offset, u64 bytes) {
  if (is_here(handle)) return allocate_here(handle, mode, offset, bytes);
  auto there = [this, handle, mode, offset, bytes] { return allocate_here(handle, mode, offset, bytes); };
  return call_there(handle.core, there);
}

// Space is promised by tokens, not by blocks: on a copy-on-write filesystem a preallocated block would not be the one that
// is written. So preallocation checks that the space is there and sets the size.
Task<Status> Operations::allocate_here(FileHandle handle, int mode, u64 offset, u64 bytes) {
  Inode& inode = *file(handle).inode;
  if (!may_write(file(handle).flags)) co_return Error{Code::handle_not_writable, inode.number};
  if (bytes == 0 || offset > file_bytes_max - bytes) co_return Error{Code::argument_invalid, bytes};
  ++inode.references;
  co_await inode.lock.acquire();
  Status result;
  if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
    result = co_await punch_hole(inode, offset, std::min(offset + bytes, inode.size));
  } else if (mode == 0 || mode == FALLOC_FL_KEEP_SIZE) {
    const u64 blocks = round_up(bytes, block_bytes) / block_bytes;
    result = co_await state_.here().data().tokens.take(blocks);
    if (result) state_.here().data().tokens.give(blocks);
    if (result && mode == 0 && offset + bytes > inode.size) {
      result = co_await state_.here().truncate(inode, offset + bytes);
    }
  } else {
    result = Error{Code::not_supported, static_cast<u64>(mode)};
  }
  inode.lock.release();
  --inode.references;
  state_.here().release(inode);
  co_return result;
}

Task<Status> Operations::punch_hole(Inode& inode, u64 offset, u64 end) {
  if (offset >= end) co_return Status{};
  const u64 first = round_up(offset, block_bytes);
  const u64 last = round_down(end, block_bytes);
  Status result;
  if (first >= last) co_return co_await zero_range(inode, offset, end);
  if (offset < first) result = co_await zero_range(inode, offset, first);
  if (result && last < end) result = co_await zero_range(inode, last, end);
  const u64 regions_end = (last - 1) / state_.region_bytes();
  for (u64 region = first / state_.region_bytes(); region <= regions_end && result; ++region) {
    const u64 from = std::max(first, region * state_.region_bytes()) / block_bytes;
    const u64 to = std::min(last, (region + 1) * state_.region_bytes()) / block_bytes;
    const u16 where = state_.slice_of_region(inode.number, region);
    const InodeNumber number = inode.number;
    if (where == format::slice_of(number)) {
      result = co_await inode.file_data().punch(from, to, &inode.follower);
      continue;
    }
    const CoreIndex core = state_.core_of_slice(where);
    auto there = [this, core, number, where, from, to] {
      return state_.core(core).share(number, where).punch(from, to, nullptr);
    };
    result = co_await state_.call(core, there);
  }
  inode.modify_ns = inode.change_ns = runtime::this_reactor().wall_clock_ns();
  inode.attributes_dirty = true;
  co_return result;
}

Task<Status> Operations::zero_range(Inode& inode, u64 offset, u64 end) {
  // The ends of a hole without a whole block may lie in two blocks.
  static constexpr std::array<std::byte, 2 * block_bytes> zeros{};
  assert(end - offset <= zeros.size());
  while (offset < end) {
    const Result<u64> written = co_await write_regions(inode, offset, {zeros.data(), end - offset}, false);
    if (!written) co_return written.error();
    offset += *written;
  }
  co_return Status{};
}

Task<Result<u64>> Operations::seek(FileHandle handle, u64 offset, int whence) {
  if (is_here(handle)) return seek_here(handle, offset, whence);
  auto there = [this, handle, offset, whence] { return seek_here(handle, offset, whence); };
  return call_there(handle.core, there);
}

Task<Result<u64>> Operations::seek_here(FileHandle handle, u64 offset, int whence) {
  Inode& inode = *file(handle).inode;
  if (whence != SEEK_DATA && whence != SEEK_HOLE) co_return Error{Code::argument_invalid, static_cast<u64>(whence)};
  if (offset >= inode.size) co_return Error{Code::no_such_offset, offset};
  const Result<Epoch> written = co_await state_.here().write_back(inode);
  if (!written) co_return written.error();
  const bool want_data = whence == SEEK_DATA;
  while (offset < inode.size) {
    const u64 region = offset / state_.region_bytes();
    const u64 region_end = std::min((region + 1) * state_.region_bytes(), inode.size);
    const u16 where = state_.slice_of_region(inode.number, region);
    const InodeNumber number = inode.number;
    const CoreIndex core = state_.core_of_slice(where);
    const bool home = where == format::slice_of(number);
    auto there = [this, core, number, where, offset, want_data, home, &inode] {
      return (home ? inode.file_data() : state_.core(core).share(number, where)).seek(offset, want_data);
    };
    const Result<u64> found = co_await state_.call(core, there);
    if (!found) co_return found.error();
    if (*found < region_end) co_return *found;
    offset = region_end;
  }
  if (want_data) co_return Error{Code::no_such_offset, offset};
  co_return inode.size;
}

Task<Status> Operations::lock(FileHandle handle, u64 offset, u64 bytes) {
  auto there = [this, handle, offset, bytes] { return lock_here(handle, offset, bytes); };
  return call_there(handle.core, there);
}

Task<Status> Operations::lock_here(FileHandle handle, u64 offset, u64 bytes) {
  Inode& inode = *file(handle).inode;
  const u64 end = bytes == 0 ? ~0ull : offset + bytes;
  if (!inode.range_locks.try_lock(&file(handle), offset, end)) co_return Error{Code::lock_held, inode.number};
  co_return Status{};
}

Task<Status> Operations::unlock(FileHandle handle, u64 offset, u64 bytes) {
  auto there = [this, handle, offset, bytes] { return unlock_here(handle, offset, bytes); };
  return call_there(handle.core, there);
}

Task<Status> Operations::unlock_here(FileHandle handle, u64 offset, u64 bytes) {
  const u64 end = bytes == 0 ? ~0ull : offset + bytes;
  file(handle).inode->range_locks.unlock(&file(handle), offset, end);
  co_return Status{};
}

}  // namespace cowfs::fs
