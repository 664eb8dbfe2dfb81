// Before the space can become smaller nothing may lie in the part that goes. A limit is set first: nothing more is leased or written behind
// it. Then each slice moves its data and nodes in front of it as copygc and checkpoints do, and gives the buckets back. What users may fill
// is smaller from the beginning, so what fits is known before anything moves, and who writes meanwhile is refused what would not.
#include <algorithm>

#include "engine/fs/filesystem_state.h"

namespace cowfs::fs {

using format::BucketId;
using slice::Watermark;

namespace {

constexpr int rounds_in_vain_max = 8;  // readers end meanwhile, and discards
constexpr u64 buckets_between_checkpoints = 64;
constexpr int places_of_a_header = 2;

bool is_lack(const Status& status) { return !status && error_class(status.error().code) == ErrorClass::space; }

}  // namespace

Task<u64> FilesystemState::bytes_too_many(u64 bucket_count) {
  leases_->limit(bucket_count);
  const u64 usable = usable_buckets() * superblock_.bucket_blocks;
  leases_->limit(superblock_.bucket_count);
  u64 used = 0;
  for (CoreIndex index = 0; index < cores(); ++index) {
    auto count = [this, index] { return needed_blocks(index); };
    used += co_await runtime::on(index, std::move(count));
  }
  co_return (used - std::min(used, usable)) * block_bytes;
}

Task<u64> FilesystemState::needed_blocks(CoreIndex index) {
  co_return core(index).live_blocks() + core(index).claimed_blocks();
}

Task<Status> FilesystemState::vacate(u64 bucket_count, VacateProgress progress) {
  leases_->limit(bucket_count);
  const u64 left = usable_buckets() * superblock_.bucket_blocks;
  const u64 goes = usable_blocks_ - std::min(usable_blocks_, left);
  Status done = co_await withdraw_tokens(goes);
  if (!done) {
    leases_->limit(superblock_.bucket_count);
    co_return done;
  }
  usable_blocks_ -= goes;
  co_await limit_slices(BucketId::of(superblock_.device_index, bucket_count));
  done = co_await empty_beyond(std::move(progress));
  if (done) done = co_await forget_beyond();
  if (done) co_return done;
  leases_->limit(superblock_.bucket_count);
  co_await limit_slices(space::no_end);
  usable_blocks_ += goes;
  free_tokens_ += goes;
  co_return done;
}

Task<void> FilesystemState::space_shrank(const format::Superblock& superblock) {
  superblock_.bucket_count = superblock.bucket_count;
  superblock_.capacity_blocks = superblock.capacity_blocks;
  leases_->forget_beyond();
  co_await limit_slices(space::no_end);
}

// Those that are free, wherever they are.
Task<Status> FilesystemState::withdraw_tokens(u64 wanted) {
  const CoreIndex nobody = cores();
  u64 withdrawn = 0;
  bool more_may_come = true;
  Status paid = co_await on_each_core(&FilesystemState::pay_for_metadata_of_core);
  while (paid && withdrawn < wanted) {
    const Result<u64> granted = co_await grant_tokens(wanted - withdrawn, nobody);
    if (granted) withdrawn += *granted;
    if (granted && *granted > 0) continue;
    if (!granted || !more_may_come) {
      paid = granted ? Error{Code::space_still_needed, (wanted - withdrawn) * block_bytes} : granted.error();
      break;
    }
    const Result<bool> freed = co_await await_freed();
    if (!freed) paid = freed.error();
    more_may_come = freed && *freed;
  }
  if (!paid) free_tokens_ += withdrawn;
  co_return paid;
}

Task<Status> FilesystemState::pay_for_metadata_of_core(CoreIndex index) {
  co_await core(index).pay_for_metadata();
  co_return Status{};
}

Task<void> FilesystemState::limit_slices(BucketId end) {
  for (u16 id = 0; id < superblock_.slices; ++id) {
    auto limit = [this, id, end] { return here().slice(id).slice.limit_space(end); };
    co_await runtime::on(core_of_slice(id), std::move(limit));
  }
}

Task<Status> FilesystemState::empty_beyond(VacateProgress progress) {
  u64 total = leases_->leased_beyond();
  int rounds_in_vain = 0;
  while (leases_->leased_beyond() > 0) {
    const u64 before = leases_->leased_beyond();
    Status lacking;
    for (u16 id = 0; id < superblock_.slices; ++id) {
      auto vacate = [this, id] { return vacate_slice(id); };
      const Status vacated = co_await runtime::on(core_of_slice(id), std::move(vacate));
      if (is_lack(vacated)) lacking = vacated;
      if (!vacated && !is_lack(vacated)) co_return vacated;
      const u64 left = leases_->leased_beyond();
      total = std::max(total, left);
      if (progress && !progress(total - left, total)) co_return Error{Code::pool_move_stopped, 0};
    }
    rounds_in_vain = leases_->leased_beyond() < before ? 0 : rounds_in_vain + 1;
    if (rounds_in_vain < rounds_in_vain_max) continue;
    if (!lacking)
      co_return Error{Code::space_still_needed, leases_->leased_beyond() * superblock_.bucket_blocks * block_bytes};
    const u64 stuck = co_await some_bucket_beyond();
    co_return Error{Code::space_bucket_stuck, stuck};
  }
  co_return Status{};
}

// Error of class space: there is no room to move anything now.
Task<Status> FilesystemState::vacate_slice(u16 id) {
  SliceState& state = here().slice(id);
  const space::BucketTable& buckets = state.slice.buckets();
  Status room;
  bool any = true;
  while (any && room && buckets.owns_beyond()) {
    state.data.user.leave_beyond();
    state.data.moved.leave_beyond();
    any = false;
    for (u64 i = 0; i < buckets_between_checkpoints && buckets.has_choice_beyond(); ++i) {
      room = co_await state.data.supply.wait_for_bucket(Watermark::user);
      if (room) room = co_await state.data.supply.wait_for_room();
      if (!room) break;
      const Result<bool> cleaned = co_await state.copygc.clean_beyond();
      if (!cleaned) co_return cleaned.error();
      any = any || *cleaned;
    }
    // A checkpoint moves nodes for which there is room.
    if (room && state.slice.metadata().count_beyond() > 0)
      room = co_await state.data.supply.wait_for_bucket(Watermark::user);
    const Status given = co_await give_back_beyond(state);
    if (!given) co_return given;
  }
  co_return room;
}

// What was emptied is free when that is durable, and may go when a checkpoint counts nothing in it any more.
Task<Status> FilesystemState::give_back_beyond(SliceState& state) {
  journal::Stream& stream = here().stream();
  Status done = co_await stream.commit(stream.current());
  if (done) done = co_await state.slice.checkpoint();
  if (!done) co_return done;
  std::vector<BucketId> given = state.slice.buckets().give_back_beyond();
  if (given.empty()) co_return done;
  auto take = [this, given = std::move(given)] { return leases_->take_back(given); };
  co_return co_await runtime::on(core_of_slice(0), std::move(take));
}

// Recovery may take the older of a slice's two headers, and the history behind it.
Task<Status> FilesystemState::forget_beyond() {
  Status done;
  for (int place = 0; place < places_of_a_header && done; ++place)
    done = co_await on_each_core(&FilesystemState::checkpoint_slices);
  co_return done;
}

Task<Status> FilesystemState::checkpoint_slices(CoreIndex index) {
  for (const u16 id : core(index).slice_ids()) {
    const Status done = co_await core(index).slice(id).slice.checkpoint();
    if (!done) co_return done;
  }
  co_return Status{};
}

Task<u64> FilesystemState::some_bucket_beyond() {
  u64 some = 0;
  for (u16 id = 0; id < superblock_.slices; ++id) {
    auto look = [this, id, &some] { return find_beyond(id, &some); };
    co_await runtime::on(core_of_slice(id), std::move(look));
  }
  co_return some;
}

Task<void> FilesystemState::find_beyond(u16 id, u64* some) {
  const space::BucketTable& buckets = here().slice(id).slice.buckets();
  buckets.each([&](const space::Bucket& bucket) {
    if (buckets.is_beyond(bucket.id)) *some = std::max(*some, bucket.id.number());
  });
  co_return;
}

}  // namespace cowfs::fs
