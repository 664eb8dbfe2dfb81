// Opening and closing. The order of an open is the whole of recovery:
//   cores and slices with their checkpoints -> leases of history -> who owns which bucket -> the rest of history, on every
//   core at once -> orphans. Nothing is written before that is through.
#include "engine/fs/filesystem_state.h"

#include <algorithm>

#include "engine/base/points.h"

namespace cowfs::fs {

using format::BucketId;
using format::TreeId;

FilesystemState::FilesystemState(const format::Superblock& superblock, std::vector<device::Device*> devices, u16 cores,
                                 const FilesystemSettings& settings)
    : superblock_(superblock), devices_(devices), device_list_(std::move(devices)), settings_(settings), cores_(cores) {
  assert(cores > 0 && cores <= cores_max);
}

FilesystemState::~FilesystemState() = default;

Task<Status> FilesystemState::on_each_core(Task<Status> (FilesystemState::*step)(CoreIndex)) {
  std::vector<Status> results(cores());
  runtime::Gate gate;
  for (CoreIndex index = 0; index < cores(); ++index) gate.spawn(on_one_core(step, index, &results[index]));
  co_await gate.drained();
  for (const Status& result : results) {
    if (!result) co_return result;
  }
  co_return Status{};
}

Task<void> FilesystemState::on_one_core(Task<Status> (FilesystemState::*step)(CoreIndex), CoreIndex index, Status* result) {
  auto run = [this, step, index] { return (this->*step)(index); };
  *result = co_await runtime::on(index, std::move(run));
}

Task<Status> FilesystemState::make_core(CoreIndex index) {
  cores_[index] = std::make_unique<CoreState>(*this, index, settings_.core, *this);
  co_return Status{};
}

Task<Status> FilesystemState::make_slices(CoreIndex index) {
  CoreState& state = core(index);
  for (u16 id = 0; id < superblock_.slices; ++id) {
    if (core_of_slice(id) != index) continue;
    state.add_slice(std::make_unique<SliceState>(id, superblock_, devices_, journal_->stream(index), *this, state.nodes(),
                                                 settings_.discard, state.data(), *this));
    slice::Slice& made = state.slice(id).slice;
    Status read = co_await made.read_header(history_.oldest_needed, history_.last);
    if (read && !settings_.read_only) read = co_await made.retire_header_from_future();
    if (read) read = co_await made.load_resident_trees();
    if (!read) co_return read;
  }
  co_return Status{};
}

Task<Status> FilesystemState::open() {
  if (superblock_.device_count != devices_.size() || superblock_.device_index != 0) {
    co_return Error{Code::superblock_devices_missing, superblock_.device_count};
  }
  if (!settings_.read_only) {
    // What a process that was killed left in the device's cache must not be lost once somebody has seen it.
    device::IoAwaiter flush = devices_[0].flush();
    const Status flushed = co_await flush;
    if (!flushed) co_return flushed;
  }
  Status done = co_await on_each_core(&FilesystemState::make_core);
  if (done) done = co_await find_history();
  if (done && !settings_.read_only) done = co_await journal::retire(history_, devices_[0]);
  if (!done) co_return done;
  std::vector<journal::CoreHooks> hooks;
  for (const auto& state : cores_) hooks.push_back({state.get(), state.get()});
  const bool single_flush = (superblock_.features_required & format::feature_single_flush) != 0;
  const journal::JournalOptions options{settings_.commit_interval_ns, single_flush};
  journal_ = std::make_unique<journal::Journal>(device_list_, history_, std::move(hooks), options);
  watch_devices();
  done = co_await on_each_core(&FilesystemState::make_slices);
  if (done) done = co_await recover();
  if (done) done = journal_->start();
  if (!done) co_return done;

  u64 live = 0;
  for (CoreIndex index = 0; index < cores(); ++index) {
    auto count = [this, index] { return live_blocks(index); };
    live += co_await runtime::on(index, std::move(count));
  }
  usable_blocks_ = usable_buckets() * superblock_.bucket_blocks;
  free_tokens_ = usable_blocks_ - std::min(usable_blocks_, live);
  done = co_await load_counters();
  if (done) done = co_await make_root();
  if (done) done = co_await on_each_core(&FilesystemState::start_core);
  co_return done;
}

// The walk waits for the device most of the time. Memory is touched meanwhile, which costs as much as a third of replay.
Task<Status> FilesystemState::find_history() {
  runtime::Gate populating;
  populating.spawn(populate_cores());
  Result<journal::History> history = co_await journal::read_history(devices_[0], superblock_);
  history_is_known_.store(true, std::memory_order_relaxed);
  co_await populating.drained();
  if (!history) co_return history.error();
  history_ = std::move(*history);
  co_return Status{};
}

Task<void> FilesystemState::populate_cores() {
  const Status populated = co_await on_each_core(&FilesystemState::populate_core);
  assert(populated.ok());
}

Task<Status> FilesystemState::populate_core(CoreIndex index) {
  co_await core(index).populate();
  co_return Status{};
}

// Whoever waits for a commit is told; what hangs itself cannot be, unless another device has what was asked of it.
void FilesystemState::watch_devices() {
  for (device::Device* device : device_list_) {
    device->set_time_limit(settings_.io_limit_ns, [this](const Error& error) { here().stream().stop(error); });
  }
}

// What users may fill. The rest keeps copygc and checkpoints moving: a share of the whole, and on small devices at least the
// free buckets that users are refused, for each slice those that are never full (open ones, copygc's, metadata being filled,
// being freed), and what metadata of data can grow to. Other metadata takes tokens itself.
u64 FilesystemState::usable_buckets() const {
  constexpr u64 unfilled_per_slice = 8;
  const u64 total = leases_->total_count();
  const u64 metadata = slice::metadata_reserve_buckets(total, superblock_.slices);
  const u64 kept = leases_->kept_back(slice::Watermark::user) + superblock_.slices * unfilled_per_slice + metadata;
  return std::min(total * superblock_.usable_percent / 100, total - std::min(total, kept));
}

Task<Status> FilesystemState::recover() {
  u64 slices = 0;
  for (u16 id = 0; id < superblock_.slices; ++id) slices |= journal::slice_bit(id);
  for (const journal::HistoryEntry& entry : history_.entries) {
    if ((entry.slices & ~slices) != 0) co_return Error{Code::journal_record_invalid, entry.slices};
  }
  Status done = co_await replay_leases();
  if (done) done = co_await restore_leases();
  if (done) done = co_await on_each_core(&FilesystemState::restore_space);
  if (done) done = co_await on_each_core(&FilesystemState::replay);
  if (done) done = co_await on_each_core(&FilesystemState::end_replay);
  leased_.clear();
  co_return done;
}

Task<Status> FilesystemState::replay_leases() {
  slice::Slice& zero = core(0).slice(0).slice;
  for (const journal::LeaseRecord& lease : history_.leases) {
    if (lease.slice != 0) continue;
    const Status replayed = co_await zero.replay(lease.epoch, lease.record());
    if (!replayed) co_return replayed;
  }
  co_return Status{};
}

Task<Status> FilesystemState::restore_leases() {
  leases_ = std::make_unique<slice::LeaseTable>(core(0).slice(0).slice, superblock_);
  Result<std::vector<std::vector<BucketId>>> owners = co_await leases_->restore();
  if (!owners) co_return owners.error();
  leased_ = std::move(*owners);
  co_return Status{};
}

Task<Status> FilesystemState::restore_space(CoreIndex index) {
  for (u16 id : core(index).slice_ids()) {
    const Status restored = co_await core(index).slice(id).slice.restore_space(leased_[id]);
    if (!restored) co_return restored;
  }
  co_return Status{};
}

// Slices know nothing of each other, so every core goes through those entries alone that hold something of its own, at its
// own pace. After a mount with other cores two of them may read the same entry.
Task<Status> FilesystemState::replay(CoreIndex index) {
  u64 own = 0;
  for (u16 id : core(index).slice_ids()) own |= journal::slice_bit(id);
  const journal::History part = history_.part(own);
  journal::BucketFeed feed(devices_[0], part.layout, part.buckets(), 1);
  const Status replayed = co_await replay_all(index, part, feed);
  co_await feed.stop();
  co_return replayed;
}

Task<Status> FilesystemState::replay_all(CoreIndex index, const journal::History& part, journal::BucketFeed& feed) {
  journal::ReplayReader reader(part, feed);
  while (true) {
    const Result<bool> more = co_await reader.next();
    if (!more) co_return more.error();
    if (!*more) co_return Status{};
    format::RecordReader records = reader.records();
    format::Record record;
    while (records.next(record)) {
      if (record.slice >= superblock_.slices) co_return Error{Code::journal_record_invalid, record.slice};
      if (core_of_slice(record.slice) != index || record.tree == TreeId::leases) continue;
      const Status replayed = co_await core(index).slice(record.slice).slice.replay(reader.epoch(), record);
      if (!replayed) co_return replayed;
    }
  }
}

Task<Status> FilesystemState::end_replay(CoreIndex index) {
  for (u16 id : core(index).slice_ids()) {
    const Status ended = core(index).slice(id).slice.end_replay(history_.last);
    if (!ended) co_return ended;
    if (core(index).slice(id).slice.oldest_needed() != Epoch{~0ull}) is_after_crash_.store(true, std::memory_order_relaxed);
  }
  co_return Status{};
}

Task<u64> FilesystemState::live_blocks(CoreIndex index) { co_return core(index).live_blocks(); }

// A filesystem that was never mounted has no root yet.
Task<Status> FilesystemState::make_root() {
  const Result<Inode*> found = co_await core(0).get_inode(format::root_inode);
  if (found) co_return (*found)->is_directory() ? Status{} : Status{Error{Code::root_missing}};
  slice::Slice& zero = core(0).slice(0).slice;
  const bool is_new = found.error().code == Code::inode_missing && zero.header().sequence == 1 && history_.entries.empty();
  if (!is_new) co_return found.error().code == Code::inode_missing ? Error{Code::root_missing} : found.error();
  if (settings_.read_only) co_return Error{Code::read_only_filesystem};
  const u64 counter = zero.take_inode_counter();
  assert(format::inode_number(0, counter) == format::root_inode);
  ChangeSet changes;
  changes.now_ns = runtime::this_reactor().wall_clock_ns();
  InodeChange root;
  root.inode = root.parent = format::root_inode;
  root.links = 2;
  root.created = true;
  root.mode = 0040755;
  changes.inodes.push_back(root);
  u64 bytes = 0;
  slice::Missing missing;
  u16 slice_id = 0;
  const Status prepared = core(0).prepare(changes, bytes, missing, slice_id);
  assert(prepared.ok() && !missing);
  const Status reserved = co_await core(0).stream().reserve(bytes);
  if (!reserved) co_return reserved;
  core(0).apply(changes);
  co_return co_await core(0).stream().commit(core(0).stream().current());
}

Task<Status> FilesystemState::start_core(CoreIndex index) {
  if (settings_.read_only) co_return Status{};
  core(index).start_background();
  co_await core(index).pay_for_metadata();
  co_return co_await finish_orphans(index);
}

// What a crash interrupted: inodes without names, and truncations.
Task<Status> FilesystemState::finish_orphans(CoreIndex index) {
  std::vector<InodeNumber> orphans;
  for (u16 id : core(index).slice_ids()) {
    slice::Slice& home = core(index).slice(id).slice;
    format::Key from = format::key_min;
    while (true) {
      btree::Cursor at = home.tree(TreeId::orphans).seek(from);
      for (; at.valid(); at.next()) orphans.push_back(at.key().inode);
      if (at.state() != btree::Cursor::State::missing) break;
      from = at.resume_key();
      btree::NodesHeld held;
      const Status loaded = co_await home.load({TreeId::orphans, at.missing()}, held);
      if (!loaded) co_return loaded;
    }
  }
  for (InodeNumber number : orphans) {
    const Result<Inode*> inode = co_await core(index).get_inode(number);
    if (!inode) co_return inode.error();
    reached((*inode)->links > 0 ? Point::truncation_finished : Point::orphan_finished);
    if ((*inode)->links > 0) {
      const Status finished = co_await core(index).truncate(**inode, (*inode)->size);
      if (!finished) co_return finished;
    } else {
      core(index).release(**inode);
    }
  }
  co_return Status{};
}

Task<Status> FilesystemState::close() {
  Status result;
  if (!settings_.read_only) {
    result = co_await on_each_core(&FilesystemState::write_back_core);
    if (result) result = co_await on_each_core(&FilesystemState::end_removals);
    if (result) result = co_await store_counters(true);
    if (result) result = co_await core(0).stream().commit(core(0).stream().current());
    if (result) result = co_await on_each_core(&FilesystemState::checkpoint_core);
  }
  co_await abandon();
  co_return result;
}

Task<void> FilesystemState::abandon() {
  // Also of an open that failed half-way.
  for (const auto& state : cores_) {
    if (state == nullptr) co_return;
  }
  // What a core does last may be done on another one that had come to its end already.
  for (int round = 0; round < 2; ++round) {
    const Status stopped = co_await on_each_core(&FilesystemState::stop_core);
    assert(stopped.ok());
  }
  const Status checkpointed = co_await on_each_core(&FilesystemState::stop_checkpoints);
  assert(checkpointed.ok());
  if (journal_) co_await journal_->stop();
  const Status dropped = co_await on_each_core(&FilesystemState::drop_core);
  assert(dropped.ok());
}

Task<Status> FilesystemState::stop_core(CoreIndex index) {
  co_await core(index).stop_background();
  co_return Status{};
}

Task<Status> FilesystemState::stop_checkpoints(CoreIndex index) {
  co_await core(index).stop_checkpoints();
  co_return Status{};
}

Task<Status> FilesystemState::drop_core(CoreIndex index) {
  for (device::Device* device : device_list_) co_await device->end_time_limit();
  core(index).give_up();
  cores_[index].reset();
  co_return Status{};
}

}  // namespace cowfs::fs
