// Change sets become updates of trees and of inodes in memory. Preparing and applying walk the same list, so what was made
// ready is exactly what is changed.
#include "engine/fs/filesystem_state.h"

namespace cowfs::fs {

using format::TreeId;
using format::UpdateKind;
using slice::Update;

namespace {

format::Key name_key(const NameChange& change, u64 hash_seed) {
  return {change.directory, format::dirent_hash(change.name, hash_seed), format::snapshot_live};
}

bool leads_to_directory(ByteSpan chain, std::string_view name) {
  format::DirentChain names(chain);
  format::Dirent entry;
  while (names.next(entry))
    if (entry.name == name) return entry.type == format::FileType::directory;
  return false;
}

}  // namespace

// Answers ok with `missing` set when something has to be loaded first.
Status CoreState::prepare(const ChangeSet& changes, u64& journal_bytes, slice::Missing& missing, u16& missing_slice) {
  journal_bytes = 0;
  ChainValue chain;
  for (const NameChange& change : changes.names) {
    if (filesystem_.core_of(change.directory) != core_) continue;
    missing_slice = format::slice_of(change.directory);
    slice::Slice& home = slice(missing_slice).slice;
    const format::Key key = name_key(change, filesystem_.superblock().hash_seed);
    const btree::Lookup old = home.tree(TreeId::dirents).find(key);
    if (old.state == btree::Lookup::State::missing) {
      missing = {TreeId::dirents, old.missing};
      return {};
    }
    const Status fits = change_chain(old.found() ? old.value : ByteSpan{}, change, chain);
    if (!fits) return fits;
    journal_bytes += journal::record_bytes(chain.size);
    // Readiness of an upsert is that of an erase.
    if (!home.ready({TreeId::dirents, UpdateKind::upsert, key, chain.span()}, missing)) return {};
  }
  for (const InodeChange& change : changes.inodes) {
    if (filesystem_.core_of(change.inode) != core_) continue;
    missing_slice = format::slice_of(change.inode);
    const format::Key key{change.inode, 0, format::snapshot_live};
    journal_bytes += journal::record_bytes(sizeof(format::InodeValue));
    const format::InodeValue any{};
    if (!slice(missing_slice).slice.ready({TreeId::inodes, UpdateKind::upsert, key, bytes_of(any)}, missing)) return {};
  }
  return {};
}

// Precondition: prepare() said ok without `missing` since the last await, and its journal_bytes are reserved.
void CoreState::apply(const ChangeSet& changes) {
  u64 reserved = 0;
  u64 used = 0;
  ChainValue chain;
  for (const InodeChange& change : changes.inodes) {
    if (filesystem_.core_of(change.inode) != core_) continue;
    reserved += journal::record_bytes(sizeof(format::InodeValue));
    SliceState& home = slice(format::slice_of(change.inode));
    Inode& inode = change.created ? add_inode(change.inode) : *find_inode(change.inode);
    if (change.created) {
      inode.has_xattrs = false;
      inode.is_new = inode.end_known = inode.shares_known = true;
      inode.mode = change.mode;
      inode.user = change.user;
      inode.group = change.group;
      inode.device = change.device;
      inode.birth_ns = inode.access_ns = inode.modify_ns = inode.change_ns = changes.now_ns;
    }
    inode.links = static_cast<u32>(static_cast<i64>(inode.links) + change.links);
    if (inode.is_directory()) inode.size = inode.persisted_size = static_cast<u64>(static_cast<i64>(inode.size) + change.size);
    if (change.parent != 0) inode.parent = change.parent;
    if (change.modified) inode.modify_ns = changes.now_ns;
    if (change.modified || change.changed) inode.change_ns = changes.now_ns;
    inode.changed = stream().current();
    const format::InodeValue value = inode.encode();
    const Update update{TreeId::inodes, change.erased ? UpdateKind::erase : UpdateKind::upsert, inode.key(),
                        change.erased ? ByteSpan{} : bytes_of(value)};
    home.slice.apply(update);
    used += slice::journal_bytes(update);
  }
  for (const NameChange& change : changes.names) {
    if (filesystem_.core_of(change.directory) != core_) continue;
    slice::Slice& home = slice(format::slice_of(change.directory)).slice;
    const format::Key key = name_key(change, filesystem_.superblock().hash_seed);
    const btree::Lookup old = home.tree(TreeId::dirents).find(key);
    const Status fits = change_chain(old.found() ? old.value : ByteSpan{}, change, chain);
    assert(fits.ok());
    if (old.found() && leads_to_directory(old.value, change.name)) filesystem_.directory_moved();
    reserved += journal::record_bytes(chain.size);
    const Update update{TreeId::dirents, chain.size == 0 ? UpdateKind::erase : UpdateKind::upsert, key, chain.span()};
    home.apply(update);
    names_.forget(change.directory, key.offset);
    used += slice::journal_bytes(update);
  }
  stream().unreserve(reserved - used);
}

}  // namespace cowfs::fs
