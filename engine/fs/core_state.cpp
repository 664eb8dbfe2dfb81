#include "engine/fs/core_state.h"

#include <algorithm>

#include "engine/base/points.h"
#include "engine/fs/filesystem_state.h"

namespace cowfs::fs {

using format::Dirent;
using format::TreeId;
using format::UpdateKind;

namespace {
constexpr std::size_t write_buffers = 12;
constexpr std::size_t inodes_per_trim = 4;  // looked at for each one added
}

void CoreState::FlushTimer::arm() {
  if (armed) return;
  deadline_ns = runtime::this_reactor().now_ns() + interval_ns;
  runtime::this_reactor().start_timer(*this);
}

CoreState::CoreState(FilesystemState& filesystem, CoreIndex core, const CoreSettings& settings,
                     data::TokenSource& tokens)
    : filesystem_(filesystem),
      core_(core),
      settings_(settings),
      data_(Bytes{settings.cache_bytes}, {}, tokens, write_buffers),
      names_(settings.name_places),
      nodes_(Bytes{settings.node_bytes}, settings.node_fill),
      flush_timer_(*this) {
  flush_timer_.fire = [](runtime::Timer& timer) {
    static_cast<FlushTimer&>(timer).owner.data_.flush_wanted.wake_all();
  };
}

CoreState::~CoreState() = default;

Task<void> CoreState::populate() {
  if (!settings_.populate_cache) co_return;
  while (data_.cache.populate_some()) co_await runtime::yield();
  while (!filesystem_.history_is_known() && nodes_.populate_some()) co_await runtime::yield();
}

journal::Stream& CoreState::stream() { return filesystem_.journal().stream(core_); }

void CoreState::add_slice(std::unique_ptr<SliceState> state) {
  const u16 id = state->slice.id();
  assert(in_order_.empty() || in_order_.back()->slice.id() < id);
  in_order_.push_back(state.get());
  slices_.emplace(id, std::move(state));
}

std::vector<u16> CoreState::slice_ids() const {
  std::vector<u16> ids;
  for (const SliceState* state : in_order_) ids.push_back(state->slice.id());
  return ids;
}

u16 CoreState::slice_for_new_directory() const {
  assert(!slices_.empty());
  const auto load = [](const SliceState& state) { return state.slice.buckets().live_blocks() / 65536; };
  const std::vector<u16> ids = slice_ids();
  return *std::min_element(ids.begin(), ids.end(), [&](u16 a, u16 b) {
    return load(*slices_.at(a)) < load(*slices_.at(b));
  });
}

Inode& CoreState::add_inode(InodeNumber number) {
  if (inodes_.size() > settings_.inodes_max || forced(Point::inodes_trimmed)) trim_inodes();
  return inodes_.add(std::make_unique<Inode>(slice(format::slice_of(number)), number));
}

Task<Result<Inode*>> CoreState::get_inode(InodeNumber number) {
  if (Inode* inode = find_inode(number)) co_return inode;
  const Result<format::InodeValue> value = co_await read_inode(number);
  if (Inode* inode = find_inode(number)) co_return inode;  // somebody else brought it in, or made it
  if (!value) co_return value.error();
  Inode& inode = add_inode(number);
  inode.decode(*value);
  co_return &inode;
}

Task<Result<Attributes>> CoreState::get_attributes(InodeNumber number) {
  if (const Inode* inode = find_inode(number)) co_return inode->attributes();
  const Result<format::InodeValue> value = co_await read_inode(number);
  if (const Inode* inode = find_inode(number)) co_return inode->attributes();
  if (!value) co_return value.error();
  co_return attributes_of(number, *value);
}

// As the tree has it, which is what an inode that is not in memory is.
Task<Result<format::InodeValue>> CoreState::read_inode(InodeNumber number) {
  const u16 home = format::slice_of(number);
  if (!slices_.contains(home)) co_return Error{Code::inode_missing, number};
  slice::Slice& slice_of_inode = slice(home).slice;
  while (true) {
    const btree::Lookup found = slice_of_inode.tree(TreeId::inodes).find({number, 0, format::snapshot_live});
    if (found.state == btree::Lookup::State::absent) co_return Error{Code::inode_missing, number, Place{.slice = home}};
    if (found.state == btree::Lookup::State::found) {
      format::InodeValue value;
      std::memcpy(&value, found.value.data(), sizeof value);
      co_return value;
    }
    btree::NodesHeld held;
    const Status loaded = co_await slice_of_inode.load({TreeId::inodes, found.missing}, held);
    if (!loaded) co_return loaded.error();
  }
}

// Some inodes that nobody uses go; a file with dirty data never does.
void CoreState::trim_inodes() {
  inodes_.drop_some(inodes_per_trim, [durable = stream().durable()](Inode& inode) {
    // The next fsync asks the inode in memory how much of history it needs.
    return inode.changed <= durable && inode.references == 0 && inode.links > 0 && !inode.attributes_dirty &&
           !inode.lock.held() && inode.remote_readers.none() && inode.birth_ns != 0 && inode.has_idle_data();
  });
}

void CoreState::release(Inode& inode) {
  if (inode.references > 0 || inode.links > 0) return;
  if (inode.erased) {
    inode.discard_cache();
    inodes_.erase(inode);
    return;
  }
  if (inode.dead) return;
  inode.dead = true;
  gate_.spawn(reap(inode));
}

// Removes what is left of an inode without names. Until the end it is an orphan on the medium, so a crash only means that
// the next mount goes on here.
Task<void> CoreState::reap(Inode& inode) {
  const data::Removal removal(data_);
  ++inode.references;
  SliceState& home = inode.home;
  const InodeNumber number = inode.number;
  if (inode.is_regular() || inode.is_symlink()) {
    const Status dropped = co_await drop_shares(inode);
    if (!dropped) co_return;
    const Status truncated = co_await inode.file_data().truncate(0, nullptr);
    if (!truncated) co_return;
  }
  const Status removed = co_await remove_keys(home, number);
  if (!removed) co_return;
  inode.erased = true;
  --inode.references;
  release(inode);
}

// The inode's attributes and the inode itself.
Task<Status> CoreState::remove_keys(SliceState& home, InodeNumber number) {
  std::vector<slice::Update> updates;
  btree::NodesHeld held;
  while (true) {
    updates.clear();
    btree::Cursor at = home.slice.tree(TreeId::xattrs).seek({number, 0, 0});
    for (; at.valid() && at.key().inode == number && updates.size() < 64; at.next()) {
      updates.push_back({TreeId::xattrs, UpdateKind::erase, at.key(), {}});
    }
    slice::Missing missing{TreeId::xattrs, {}};
    if (at.state() == btree::Cursor::State::missing) missing.node = at.missing();
    const bool all = !at.valid() || at.key().inode != number;
    if (all) updates.push_back({TreeId::inodes, UpdateKind::erase, {number, 0, format::snapshot_live}, {}});
    u64 bytes = 0;
    for (const slice::Update& update : updates) {
      bytes += slice::journal_bytes(update);
      if (!missing && !home.slice.ready(update, missing)) break;
    }
    const bool resident = !missing;
    if (!resident || !stream().try_reserve(bytes)) {
      const Status waited = co_await home.slice.wait_to_apply(resident, missing, held, bytes);
      if (!waited) co_return waited;
      continue;
    }
    for (const slice::Update& update : updates) home.slice.apply(update);
    held.release();
    if (all) co_return Status{};
  }
}

CoreState::Answer CoreState::look_up(InodeNumber directory, std::string_view name, Dirent& entry,
                                     slice::Missing& missing) {
  const u64 hash = format::dirent_hash(name, filesystem_.superblock().hash_seed);
  if (const NameCache::Entry* known = names_.find(directory, hash, name)) {
    entry.inode = known->inode;
    entry.type = known->type;
    return known->inode != 0 ? Answer::found : Answer::absent;
  }
  SliceState& home = slice(format::slice_of(directory));
  const btree::Lookup found = home.slice.tree(TreeId::dirents).find({directory, hash, format::snapshot_live});
  if (found.state == btree::Lookup::State::missing) {
    missing = {TreeId::dirents, found.missing};
    return Answer::missing;
  }
  format::DirentChain chain(found.value);
  while (chain.next(entry)) {
    if (entry.name != name) continue;
    names_.remember(directory, hash, name, entry.inode, entry.type);
    return Answer::found;
  }
  names_.remember(directory, hash, name, 0, format::FileType::unknown);
  return Answer::absent;
}

// Error no_such_entry. The entry's name is not kept.
Task<Result<Dirent>> CoreState::look_up(InodeNumber directory, std::string_view name) {
  while (true) {
    Dirent entry;
    slice::Missing missing;
    switch (look_up(directory, name, entry, missing)) {
      case Answer::found:
        entry.name = {};
        co_return entry;
      case Answer::absent:
        co_return Error{Code::no_such_entry, directory};
      case Answer::missing:
        break;
    }
    btree::NodesHeld held;
    const Status loaded = co_await slice(format::slice_of(directory)).slice.load(missing, held);
    if (!loaded) co_return loaded.error();
  }
}

const CoreState::RemoteName* CoreState::find_remote(InodeNumber directory, std::string_view name) const {
  const auto names = remote_names_.find(directory);
  if (names == remote_names_.end()) return nullptr;
  const auto found = names->second.find(absl::string_view(name.data(), name.size()));
  return found == names->second.end() ? nullptr : &found->second;
}

void CoreState::remember_remote(InodeNumber directory, std::string_view name, RemoteName entry) {
  remote_names_[directory][std::string(name)] = entry;
}

data::FileData& CoreState::share(InodeNumber number, u16 slice_id) {
  SliceState& where = slice(slice_id);
  auto& place = where.shares[number];
  if (place == nullptr) place = std::make_unique<data::FileData>(where.data, number, false);
  return *place;
}

// After a crash other slices may hold more than the file's end tells.
Task<Status> CoreState::drop_shares(Inode& inode) {
  const InodeNumber number = inode.number;
  const u64 end = std::max(inode.size, inode.persisted_size);
  const bool is_known = inode.shares_known || !filesystem_.is_after_crash();
  const u64 regions = is_known ? end / filesystem_.region_bytes() + 1 : ~0ull;
  const u64 slices = std::min<u64>(regions, filesystem_.superblock().slices);
  for (u64 region = 1; region < slices; ++region) {
    const u16 where = filesystem_.slice_of_region(number, region);
    const CoreIndex there = filesystem_.core_of_slice(where);
    auto drop = [this, there, number, where] { return filesystem_.core(there).drop_share(number, where); };
    const Status dropped = co_await filesystem_.call(there, drop);
    if (!dropped) co_return dropped;
  }
  co_return Status{};
}

Task<Status> CoreState::drop_share(InodeNumber number, u16 slice_id) {
  data::FileData& dropped = share(number, slice_id);
  const Status truncated = co_await dropped.truncate(0, nullptr);
  // A sync may have come for it meanwhile: then it stays, empty, until the unmount.
  if (truncated && dropped.idle()) slice(slice_id).shares.erase(number);
  co_return truncated;
}

}  // namespace cowfs::fs
