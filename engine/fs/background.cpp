// What a core does on its own: write-back of old or plentiful dirty data, checkpoints when the journal fills, copygc,
// discards.
#include <algorithm>

#include "engine/base/points.h"
#include "engine/fs/filesystem_state.h"

namespace cowfs::fs {
namespace {

constexpr u64 flushes_at_once_max = 16;

}  // namespace

void CoreState::start_background() {
  each_slice([](SliceState& state) { state.slice.limit_changes(); });
  gate_.spawn(flusher());
  checkpoint_gate_.spawn(checkpointer());
  gate_.spawn(discarder());
  if (has_points()) gate_.spawn(forced_work());
  each_slice([&](SliceState& state) {
    for (int i = 0; i < data::BucketSupply::runs; ++i) gate_.spawn(state.data.supply.run());
  });
}

Task<void> CoreState::stop_background() {
  stopping_ = true;
  if (flush_timer_.armed) runtime::this_reactor().cancel_timer(flush_timer_);
  data_.flush_wanted.wake_all();
  discard_work_.wake_all();
  forced_work_.wake_all();
  each_slice([](SliceState& state) { state.data.supply.stop(); });
  co_await gate_.drained();
  co_await data_.gate.drained();
}

Task<void> CoreState::stop_checkpoints() {
  checkpoints_stopping_ = true;
  checkpoint_work_.wake_all();
  co_await checkpoint_gate_.drained();
}

void CoreState::give_up() {
  for (Inode* inode : inodes_.all()) inode->discard_cache();
  inodes_.clear();
  each_slice([](SliceState& state) {
    for (const auto& [number, share] : state.shares) share->discard_cache();
    state.shares.clear();
  });
}

Task<Result<Epoch>> CoreState::write_back(Inode& inode, data::Then then) {
  ++inode.references;
  const Result<Epoch> result = co_await write_back_referenced(inode, then);
  --inode.references;
  release(inode);
  co_return result;
}

Task<Result<Epoch>> CoreState::write_back_referenced(Inode& inode, data::Then then) {
  co_await inode.write_back_lock.acquire();
  const runtime::MutexHold serial(inode.write_back_lock);
  const u64 size = inode.size;
  if (size > filesystem_.region_bytes()) {
    const u64 regions = (size - 1) / filesystem_.region_bytes() + 1;
    const u64 slices = std::min<u64>(regions, filesystem_.superblock().slices);
    for (u64 region = 1; region < slices; ++region) {
      const u16 where = filesystem_.slice_of_region(inode.number, region);
      const CoreIndex there = filesystem_.core_of_slice(where);
      const InodeNumber number = inode.number;
      auto write = [this, there, number, where] { return filesystem_.core(there).write_back_share(number, where); };
      const Result<Epoch> written = co_await filesystem_.call(there, write);
      if (!written) {
        // This core's part does not begin, and who waits for it hears why.
        inode.file_data().flush_pending = false;
        data_.write_back_result = written.error();
        data_.written_back.wake_all();
        co_return written;
      }
      inode.changed = std::max(inode.changed, *written);
    }
  }
  inode.write_back_size = size;
  const Result<Epoch> written = co_await inode.file_data().write_back(size, &inode, then);
  if (!written) co_return written;
  const u64 in_place = std::min(size, inode.size);
  if (inode.attributes_dirty || inode.persisted_size < in_place) {
    inode.persisted_size = std::max(inode.persisted_size, in_place);
    const Status logged = co_await write_attributes(inode);
    if (!logged) co_return logged.error();
  }
  co_return inode.changed;
}

Task<Result<Epoch>> CoreState::write_back_share(InodeNumber number, u16 slice_id) {
  co_return co_await share(number, slice_id).write_back(~0ull, nullptr);
}

Task<Status> CoreState::write_attributes(Inode& inode) {
  slice::Slice& home = inode.home.slice;
  btree::NodesHeld held;
  while (true) {
    const format::InodeValue value = inode.encode();
    const slice::Update update{format::TreeId::inodes, format::UpdateKind::upsert, inode.key(), bytes_of(value)};
    slice::Missing missing;
    const u64 bytes = slice::journal_bytes(update);
    const bool resident = home.ready(update, missing);
    if (!resident || !stream().try_reserve(bytes)) {
      const Status waited = co_await home.wait_to_apply(resident, missing, held, bytes);
      if (!waited) co_return waited;
      continue;
    }
    home.apply(update);
    inode.changed = stream().current();
    inode.attributes_dirty = inode.persisted_size != inode.size;  // a write may have moved the end meanwhile
    co_return Status{};
  }
}

// Truncations pass the budget, since they hold what write-back needs. Here nothing is held yet.
Task<Status> CoreState::keep_cache_budget() {
  while (!data_.cache.keep_budget()) {
    data_.flush_wanted.wake_all();
    co_await data_.written_back.wait();
    if (!data_.write_back_result) co_return data_.write_back_result;
  }
  co_return Status{};
}

// Sets the size, downwards or upwards; also finishes a truncation that a crash interrupted. The caller holds inode.lock.
Task<Status> CoreState::truncate(Inode& inode, u64 bytes) {
  if (const Status kept = co_await keep_cache_budget(); !kept) co_return kept;
  ++inode.references;
  co_await inode.write_back_lock.acquire();
  Status result;
  const u64 now = runtime::this_reactor().wall_clock_ns();
  const bool unfinished = (inode.flags & format::inode_truncating) != 0;
  if (bytes < inode.size || unfinished) {
    const u64 old_size = inode.size;
    inode.size = bytes;
    inode.modify_ns = inode.change_ns = now;
    inode.truncating = true;
    const u64 cut = filesystem_.cut_in_slice(inode.number, inode.home.slice.id(), bytes);
    result = co_await inode.file_data().truncate(cut, &inode);
    inode.truncating = false;
    if (result && old_size > filesystem_.region_bytes()) result = co_await truncate_shares(inode, old_size);
  } else if (bytes > inode.size) {
    if (!may_grow(inode, bytes)) result = co_await clean_behind_end(inode, bytes);
    if (result) {
      inode.size = std::max(inode.size, bytes);
      inode.modify_ns = inode.change_ns = now;
      inode.attributes_dirty = true;
    }
  }
  inode.write_back_lock.release();
  --inode.references;
  release(inode);
  co_return result;
}

bool CoreState::may_grow(const Inode& inode, u64 end) const {
  if (end <= inode.size) return true;
  return inode.end_known && (end <= filesystem_.region_bytes() || inode.shares_known);
}

Task<Status> CoreState::prepare_growth(Inode& inode, u64 end) {
  if (const Status kept = co_await keep_cache_budget(); !kept) co_return kept;
  ++inode.references;
  co_await inode.write_back_lock.acquire();
  const Status result = co_await clean_behind_end(inode, end);
  inode.write_back_lock.release();
  --inode.references;
  release(inode);
  co_return result;
}

// The caller holds write_back_lock. Until this is through the file has not grown, so nothing behind its end is wanted.
Task<Status> CoreState::clean_behind_end(Inode& inode, u64 end) {
  const InodeNumber number = inode.number;
  if (!inode.end_known) {
    const u64 cut = filesystem_.cut_in_slice(number, inode.home.slice.id(), inode.size);
    const Status cleaned = co_await inode.file_data().truncate(cut, &inode.follower);
    if (!cleaned) co_return cleaned;
    inode.end_known = true;
  }
  if (inode.shares_known || end <= filesystem_.region_bytes()) co_return Status{};
  for (u16 where = 0; where < filesystem_.superblock().slices; ++where) {
    if (where == inode.home.slice.id()) continue;
    const u64 bytes = filesystem_.cut_in_slice(number, where, inode.size);
    const CoreIndex there = filesystem_.core_of_slice(where);
    auto cut = [this, there, number, where, bytes] {
      return filesystem_.core(there).share(number, where).truncate(bytes, nullptr);
    };
    const Status cleaned = co_await filesystem_.call(there, cut);
    if (!cleaned) co_return cleaned;
  }
  inode.shares_known = true;
  co_return Status{};
}

Task<Status> CoreState::truncate_shares(Inode& inode, u64 old_size) {
  const u64 regions = (old_size - 1) / filesystem_.region_bytes() + 1;
  const u64 slices = std::min<u64>(regions, filesystem_.superblock().slices);
  for (u64 region = 1; region < slices; ++region) {
    const u16 where = filesystem_.slice_of_region(inode.number, region);
    const CoreIndex there = filesystem_.core_of_slice(where);
    const InodeNumber number = inode.number;
    const u64 bytes = filesystem_.cut_in_slice(number, where, inode.size);
    auto cut = [this, there, number, where, bytes] {
      return filesystem_.core(there).share(number, where).truncate(bytes, nullptr);
    };
    const Status truncated = co_await filesystem_.call(there, cut);
    if (!truncated) co_return truncated;
  }
  co_return Status{};
}

// With its inode, where this is the file's home.
Task<Status> CoreState::write_back(data::FileData& file) {
  const InodeNumber number = file.inode();
  if (format::slice_of(number) != file.home().slice.id()) {
    const Result<Epoch> written = co_await file.write_back(~0ull, nullptr);
    co_return written ? Status{} : Status{written.error()};
  }
  Inode* inode = find_inode(number);
  if (inode == nullptr || inode->dead) co_return Status{};
  const Result<Epoch> written = co_await write_back(*inode);
  co_return written ? Status{} : Status{written.error()};
}

Task<void> CoreState::flush_one(data::FileData& file) {
  const Status written = co_await write_back(file);
  --flushes_running_;
  // An error leaves the data dirty, and whoever calls fsync hears of it; the flusher tries again when its timer fires.
  if (written) data_.flush_wanted.wake_all();
  flush_failed_ = !written;
}

Task<void> CoreState::flusher() {
  while (!stopping_) {
    const u64 now = runtime::this_reactor().now_ns();
    bool started = false;
    data::FileData* next = nullptr;
    for (data::FileData* file = data_.dirty_first; file != nullptr; file = next) {
      next = file->next_dirty();
      const bool old = file->dirty_since_ns() + settings_.dirty_expire_ns < now;
      const bool wanted = old || data_.cache.wants_write_back() || data_.tokens.are_short();
      if (!wanted || flushes_running_ == flushes_at_once_max) break;
      if (file->flush_pending) continue;
      file->flush_pending = true;
      ++flushes_running_;
      flush_failed_ = false;
      gate_.spawn(flush_one(*file));
      started = !flush_failed_;
      break;  // the list may have changed
    }
    if (started) continue;
    flush_timer_.arm();
    co_await data_.flush_wanted.wait();
  }
}

// What is dirty now or being written, however much others make dirty meanwhile.
Task<Status> CoreState::write_back_all() {
  std::vector<std::pair<u16, InodeNumber>> unwritten;
  for (data::FileData* file = data_.dirty_first; file != nullptr; file = file->next_dirty()) {
    unwritten.emplace_back(file->home().slice.id(), file->inode());
  }
  for (const Inode* inode : inodes_.all()) {
    const bool wanted = inode->attributes_dirty || inode->write_back_lock.held();
    if (wanted && !inode->dead) unwritten.emplace_back(format::slice_of(inode->number), inode->number);
  }
  const auto shares = static_cast<std::ptrdiff_t>(unwritten.size());
  for (u16 id : slice_ids()) {
    for (const auto& [number, share] : slice(id).shares) {
      if (!share->idle() && !share->is_dirty()) unwritten.emplace_back(id, number);
    }
  }
  std::sort(unwritten.begin() + shares, unwritten.end());
  for (const auto& [id, number] : unwritten) {
    Result<Epoch> written = Epoch{};
    if (format::slice_of(number) == id) {
      Inode* inode = find_inode(number);
      if (inode != nullptr && !inode->dead) written = co_await write_back(*inode);
    } else if (slice(id).shares.contains(number)) {
      written = co_await write_back_share(number, id);
    }
    if (!written) co_return written.error();
  }
  co_return Status{};
}

// Of files without names, which the next mount would have to go on with.
Task<Status> CoreState::end_removals() {
  while (data_.removals > 0) co_await data_.removed.wait();
  co_return Status{};
}

void CoreState::epoch_sealed(Epoch epoch) {
  each_slice([&](SliceState& state) {
    state.slice.epoch_sealed(epoch);
    state.data.user.hurry();
    state.data.moved.hurry();
  });
  publish_use();
}

void CoreState::epoch_durable(Epoch epoch) {
  each_slice([&](SliceState& state) { state.slice.epoch_durable(epoch); });
  if (filesystem_.settings().discard) discard_work_.wake_all();
  if (forced(Point::checkpoint_begun)) checkpoint_wanted(epoch);
  forced_work_.wake_all();
}

Epoch CoreState::oldest_needed(CoreIndex) {
  Epoch oldest{~0ull};
  each_slice([&](SliceState& state) { oldest = std::min(oldest, state.slice.oldest_needed()); });
  return oldest;
}

void CoreState::checkpoint_wanted(Epoch up_to) {
  checkpoint_up_to_ = std::max(checkpoint_up_to_, up_to);
  checkpoint_work_.wake_all();
}

// What it claims is not for users any more, so that a filesystem of many small files says that it is full while checkpoints still
// find room.
void CoreState::charge_metadata() {
  const u64 blocks = claimed_blocks();
  if (blocks > charged_blocks_) data_.tokens.force(blocks - charged_blocks_);
  if (blocks < charged_blocks_) data_.tokens.give(charged_blocks_ - blocks);
  charged_blocks_ = blocks;
}

Task<void> CoreState::pay_for_metadata() {
  charge_metadata();
  if (data_.tokens.free() > 0) co_return;
  const Status paid = co_await data_.tokens.take_free(1);
  if (paid) data_.tokens.give(1);
}

Task<Status> CoreState::checkpoint(slice::Slice& slice) {
  const u64 began_ns = runtime::this_reactor().now_ns();
  const Status done = co_await slice.checkpoint();
  charge_metadata();
  if (!done) co_return done;
  activity(format::Activity::checkpoint).count();
  activity(format::Activity::checkpoint).add_latency(runtime::this_reactor().now_ns() - began_ns);
  co_return done;
}

// Metadata may take two checkpoints: one that leaves buckets sparse, and one that moves what is still in them.
Task<Result<bool>> CoreState::await_freed() {
  if (data_.removals > 0) {
    co_await data_.removed.wait();
    co_return true;
  }
  const u64 charged_before = charged_blocks_;
  for (u16 id : slice_ids()) {
    slice::Slice& one = slice(id).slice;
    if (one.checkpoint_running()) co_await one.checkpoint_ended();
    for (int round = 0; round < 2 && one.checkpoint_frees_metadata(); ++round) {
      const Status done = co_await checkpoint(one);
      if (!done && error_class(done.error().code) != ErrorClass::space) co_return done.error();
    }
  }
  charge_metadata();
  co_return charged_blocks_ < charged_before;
}

Task<void> CoreState::checkpointer() {
  while (!checkpoints_stopping_) {
    slice::Slice* next = nullptr;
    each_slice([&](SliceState& state) {
      const Epoch needed = state.slice.oldest_needed();
      if (needed <= checkpoint_up_to_ && (next == nullptr || needed < next->oldest_needed())) next = &state.slice;
    });
    if (next == nullptr) {
      co_await checkpoint_work_.wait();
      continue;
    }
    Status done;
    if (next->id() == 0) done = co_await filesystem_.store_counters(false);
    if (done) done = co_await checkpoint(*next);
    if (!done) checkpoint_up_to_ = {};  // asked again when the journal is fuller still
  }
}

Task<Status> CoreState::checkpoint_all() {
  for (u16 id : slice_ids()) {
    slice::Slice& one = slice(id).slice;
    while (one.oldest_needed() != Epoch{~0ull}) {
      const Status done = co_await checkpoint(one);
      if (!done) co_return done;
    }
  }
  co_return Status{};
}

Task<void> CoreState::discarder() {
  while (!stopping_) {
    bool any = false;
    for (u16 id : slice_ids()) {
      space::BucketTable& buckets = slice(id).slice.buckets();
      while (const auto bucket = buckets.next_discard()) {
        any = true;
        const format::Address at = format::first_block(*bucket, buckets.bucket_blocks());
        // A device that refuses keeps its old content, which nobody reads.
        (void)co_await filesystem_.devices()[at.device()].discard(at.offset_bytes(), buckets.bucket_blocks() * block_bytes);
        buckets.discarded(*bucket);
      }
    }
    if (!any) co_await discard_work_.wait();
  }
}

// What happens rarely, when the simulator wants it. It happens beside everything else, so what fails here is told elsewhere.
Task<void> CoreState::forced_work() {
  while (!stopping_) {
    co_await forced_work_.wait();
    if (forced(Point::caches_emptied)) {
      nodes_.evict_all();
      data_.cache.evict_all();
    }
    for (u16 id : slice_ids()) {
      if (stopping_) co_return;
      if (forced(Point::bucket_cleaned)) (void)co_await slice(id).copygc.clean_one(data::Need::now);
      const bool late = slice(id).slice.checkpoint_running() && forced(Point::leases_offered_late);
      if (late || forced(Point::leases_offered)) (void)co_await filesystem_.give_back(id, false);
    }
  }
}

u64 CoreState::claimed_blocks() {
  u64 blocks = 0;
  each_slice([&](SliceState& state) { blocks += state.slice.metadata_claim_blocks(); });
  return blocks;
}

u64 CoreState::live_blocks() {
  u64 blocks = 0;
  each_slice([&](SliceState& state) { blocks += state.slice.buckets().live_blocks(); });
  return blocks;
}

u64 CoreState::used_blocks() {
  u64 blocks = live_blocks();
  each_slice([&](SliceState& state) { blocks += state.slice.metadata().bucket_count() * state.slice.bucket_blocks(); });
  return blocks;
}

void CoreState::publish_use() {
  u64 inodes = 0;
  each_slice([&](SliceState& state) { inodes += state.slice.inode_count(); });
  const u64 used = used_blocks() + static_cast<u64>(std::max<i64>(data_.cache.dirty_blocks(), 0));
  published_used_blocks_.store(used, std::memory_order_relaxed);
  published_inodes_.store(inodes, std::memory_order_relaxed);
}

}  // namespace cowfs::fs
