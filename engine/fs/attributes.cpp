// What stat shows and what sets it; extended attributes; listing directories.
#include <dirent.h>
#include <sys/stat.h>

#include "engine/codec/hash.h"
#include "engine/fs/operations.h"

namespace cowfs::fs {

using format::Key;
using format::TreeId;

namespace {

constexpr u64 symlink_bytes_max = 4095;

}  // namespace

Task<Result<Attributes>> Operations::stat(FileHandle handle) {
  auto there = [this, handle] { return stat_here(handle); };
  return call_there(handle.core, there);
}

Task<Result<Attributes>> Operations::stat_here(FileHandle handle) { co_return file(handle).inode->attributes(); }

Task<Result<Attributes>> Operations::stat(std::string_view path, bool follow) {
  const Result<InodeNumber> inode = co_await resolve_existing(path, follow);
  if (!inode) co_return inode.error();
  if (state_.is_here(*inode)) {
    if (const Inode* known = state_.here().find_inode(*inode)) co_return known->attributes();
  }
  co_return co_await attributes_of(*inode);
}

Task<Result<Attributes>> Operations::attributes_of(InodeNumber inode) {
  auto function = [this, inode] { return state_.here().get_attributes(inode); };
  co_return co_await state_.call(state_.core_of(inode), function);
}

Task<Status> Operations::change_attributes(std::string_view path, AttributeChange change) {
  const Result<InodeNumber> inode = co_await resolve_existing(path, true);
  if (!inode) co_return inode.error();
  const InodeNumber number = *inode;
  auto there = [this, number, change] { return change_attributes_here(number, change); };
  co_return co_await call_there(state_.core_of(number), there);
}

Task<Status> Operations::change_attributes_here(InodeNumber number, AttributeChange change) {
  const Result<Inode*> found = co_await state_.here().get_inode(number);
  if (!found) co_return found.error();
  Inode& inode = **found;
  ++inode.references;
  if (change.access_ns) inode.access_ns = *change.access_ns;
  if (change.modify_ns) inode.modify_ns = *change.modify_ns;
  if (change.mode) inode.mode = (inode.mode & S_IFMT) | (*change.mode & 07777);
  if (change.user) inode.user = *change.user;
  if (change.group) inode.group = *change.group;
  inode.change_ns = runtime::this_reactor().wall_clock_ns();
  const Status written = co_await state_.here().write_attributes(inode);
  --inode.references;
  state_.here().release(inode);
  co_return written;
}

Task<Status> Operations::set_times(std::string_view path, u64 access_ns, u64 modify_ns) {
  AttributeChange change;
  change.access_ns = access_ns;
  change.modify_ns = modify_ns;
  return change_attributes(path, change);
}

Task<Status> Operations::set_mode(std::string_view path, u32 mode) {
  AttributeChange change;
  change.mode = mode;
  return change_attributes(path, change);
}

Task<Status> Operations::set_owner(std::string_view path, u32 user, u32 group) {
  AttributeChange change;
  change.user = user;
  change.group = group;
  return change_attributes(path, change);
}

Task<Result<std::string>> Operations::read_link(std::string_view path) {
  const Result<PathEnd> end = co_await resolve(path, false);
  if (!end) co_return end.error();
  if (end->inode == 0) co_return Error{Code::no_such_entry, end->parent};
  const InodeNumber inode = end->inode;
  auto there = [this, inode] { return read_link_here(inode); };
  co_return co_await call_there(state_.core_of(inode), there);
}

// Error argument_invalid: not a symbolic link.
Task<Result<std::string>> Operations::read_link_here(InodeNumber number) {
  const Result<Inode*> found = co_await state_.here().get_inode(number);
  if (!found) co_return found.error();
  Inode& inode = **found;
  if (!inode.is_symlink() || inode.size > symlink_bytes_max) co_return Error{Code::argument_invalid, inode.mode};
  ++inode.references;
  std::string target(inode.size, '\0');
  const MutableByteSpan into{reinterpret_cast<std::byte*>(target.data()), target.size()};
  const Status read = co_await inode.file_data().read(0, into, inode.size);
  --inode.references;
  state_.here().release(inode);
  if (!read) co_return read.error();
  co_return target;
}

Task<Result<u64>> Operations::get_xattr(std::string_view path, std::string_view name, MutableByteSpan into) {
  const Result<InodeNumber> inode = co_await resolve_existing(path, true);
  if (!inode) co_return inode.error();
  const InodeNumber number = *inode;
  auto there = [this, number, name, into] { return get_xattr_here(number, name, into); };
  co_return co_await call_there(state_.core_of(number), there);
}

Task<Result<u64>> Operations::get_xattr_here(InodeNumber number, std::string_view name, MutableByteSpan into) {
  const Key key{number, xattr_hash(name), format::snapshot_live};
  const auto value = co_await state_.here().slice(format::slice_of(number)).slice.get(TreeId::xattrs, key);
  if (!value) co_return value.error();
  ByteSpan rest;
  if (*value) rest = **value;
  while (!rest.empty()) {
    format::XattrHeader header;
    std::memcpy(&header, rest.data(), sizeof header);
    const std::string_view at{reinterpret_cast<const char*>(rest.data()) + sizeof header, header.name_bytes};
    const ByteSpan found = rest.subspan(sizeof header + header.name_bytes, header.value_bytes);
    rest = rest.subspan(sizeof header + header.name_bytes + header.value_bytes);
    if (at != name) continue;
    if (into.empty()) co_return u64{found.size()};
    if (into.size() < found.size()) co_return Error{Code::buffer_too_small, into.size()};
    std::memcpy(into.data(), found.data(), found.size());
    co_return u64{found.size()};
  }
  co_return Error{Code::no_such_attribute, number};
}

Task<Status> Operations::set_xattr(std::string_view path, std::string_view name, ByteSpan value) {
  if (name.empty() || name.size() > format::name_bytes_max) co_return Error{Code::name_too_long, name.size()};
  const Result<InodeNumber> inode = co_await resolve_existing(path, true);
  if (!inode) co_return inode.error();
  const InodeNumber number = *inode;
  auto there = [this, number, name, value] { return set_xattr_here(number, name, value); };
  co_return co_await call_there(state_.core_of(number), there);
}

Task<Status> Operations::set_xattr_here(InodeNumber number, std::string_view name, ByteSpan value) {
  Locks locks(state_);
  const Status locked = co_await locks.acquire(number);
  if (!locked) co_return locked;
  const Status result = co_await set_xattr_locked(number, name, value);
  co_await locks.release();
  co_return result;
}

Task<Status> Operations::set_xattr_locked(InodeNumber number, std::string_view name, ByteSpan value) {
  slice::Slice& home = state_.here().slice(format::slice_of(number)).slice;
  const Key key{number, xattr_hash(name), format::snapshot_live};
  const auto old = co_await home.get(TreeId::xattrs, key);
  if (!old) co_return old.error();
  std::vector<std::byte> chain;
  const auto put = [&](std::string_view at, ByteSpan bytes) {
    format::XattrHeader header{};
    header.name_bytes = static_cast<u8>(at.size());
    header.value_bytes = static_cast<u16>(bytes.size());
    const ByteSpan head = bytes_of(header);
    chain.insert(chain.end(), head.begin(), head.end());
    const auto* text = reinterpret_cast<const std::byte*>(at.data());
    chain.insert(chain.end(), text, text + at.size());
    chain.insert(chain.end(), bytes.begin(), bytes.end());
  };
  if (value.size() > format::node_value_bytes_max) co_return Error{Code::attribute_too_large, value.size()};
  ByteSpan rest;
  if (*old) rest = **old;
  while (!rest.empty()) {
    format::XattrHeader header;
    std::memcpy(&header, rest.data(), sizeof header);
    const std::string_view at{reinterpret_cast<const char*>(rest.data()) + sizeof header, header.name_bytes};
    if (at != name) put(at, rest.subspan(sizeof header + header.name_bytes, header.value_bytes));
    rest = rest.subspan(sizeof header + header.name_bytes + header.value_bytes);
  }
  put(name, value);
  if (chain.size() > format::node_value_bytes_max) co_return Error{Code::attribute_too_large, chain.size()};
  const u64 old_bytes = *old ? (*old)->size() : 0;
  if (chain.size() > old_bytes && state_.here().data().tokens.free() == 0) {
    const Status room = co_await wait_for_tokens();
    if (!room) co_return room;
  }
  Inode& inode = *state_.here().find_inode(number);
  inode.has_xattrs = true;
  inode.change_ns = runtime::this_reactor().wall_clock_ns();
  const slice::Update update{TreeId::xattrs, format::UpdateKind::upsert, key, chain};
  const u64 bytes = slice::journal_bytes(update);
  btree::NodesHeld held;
  while (true) {
    slice::Missing missing;
    const bool resident = home.ready(update, missing);
    if (resident && home.stream().try_reserve(bytes)) break;
    const Status waited = co_await home.wait_to_apply(resident, missing, held, bytes);
    if (!waited) co_return waited;
  }
  home.apply(update);
  inode.changed = home.stream().current();
  inode.attributes_dirty = true;
  co_return Status{};
}

u64 Operations::xattr_hash(std::string_view name) const {
  return format::dirent_hash(name, state_.superblock().hash_seed);
}

Task<Result<DirectoryRead>> Operations::read_directory(FileHandle handle, u64 cookie, MutableByteSpan into) {
  if (is_here(handle)) return read_directory_here(handle, cookie, into);
  auto there = [this, handle, cookie, into] { return read_directory_here(handle, cookie, into); };
  return call_there(handle.core, there);
}

namespace {

// One linux_dirent64 record; false when it does not fit.
bool put_record(MutableByteSpan into, u64& used, u64 inode, u64 next_cookie, u8 type, std::string_view name) {
  constexpr u64 header_bytes = 19;
  const u64 bytes = round_up(header_bytes + name.size() + 1, 8);
  if (used + bytes > into.size()) return false;
  std::byte* at = into.data() + used;
  const u16 record_bytes = static_cast<u16>(bytes);
  std::memcpy(at, &inode, 8);
  std::memcpy(at + 8, &next_cookie, 8);
  std::memcpy(at + 16, &record_bytes, 2);
  std::memcpy(at + 18, &type, 1);
  std::memcpy(at + header_bytes, name.data(), name.size());
  std::memset(at + header_bytes + name.size(), 0, bytes - header_bytes - name.size());
  used += bytes;
  return true;
}

}  // namespace

// A cookie says where to go on: 1 and 2 after "." and "..", else a name's hash with its place in the chain plus one.
Task<Result<DirectoryRead>> Operations::read_directory_here(FileHandle handle, u64 cookie, MutableByteSpan into) {
  Inode& inode = *file(handle).inode;
  if (!inode.is_directory()) co_return Error{Code::not_a_directory, inode.number};
  slice::Slice& home = inode.home.slice;
  DirectoryRead read;
  read.next_cookie = cookie;
  const auto put = [&](u64 number, u64 next, u8 type, std::string_view name) {
    if (!put_record(into, read.bytes, number, next, type, name)) return false;
    read.next_cookie = next;
    return true;
  };
  if (cookie == 0 && !put(inode.number, 1, DT_DIR, ".")) co_return Error{Code::buffer_too_small, into.size()};
  if (read.next_cookie == 1 && !put(inode.parent, 2, DT_DIR, "..")) co_return read;
  btree::NodesHeld held;  // the cookie may lie behind the last name of one leaf, and what follows in the next
  while (true) {
    const u64 resume = read.next_cookie <= 2 ? 0 : read.next_cookie;
    const u64 first_hash = resume & ~format::dirent_place_mask;
    btree::Cursor at = home.tree(TreeId::dirents).seek({inode.number, first_hash, 0});
    for (; at.valid() && at.key().inode == inode.number; at.next()) {
      format::DirentChain chain(at.value());
      format::Dirent entry;
      for (u64 place = 1; chain.next(entry); ++place) {
        const u64 next = at.key().offset | place;
        if (next <= resume) continue;
        if (!put(entry.inode, next, static_cast<u8>(entry.type), entry.name)) {
          if (read.bytes == 0) co_return Error{Code::buffer_too_small, into.size()};
          co_return read;
        }
      }
    }
    if (at.state() != btree::Cursor::State::missing) co_return read;
    const Status loaded = co_await home.load({TreeId::dirents, at.missing()}, held);
    if (!loaded) co_return loaded.error();
  }
}

}  // namespace cowfs::fs
