// How slices share space: buckets are leased from slice 0's table, tokens from core 0's pool. When either runs out, core 0
// asks everybody for what they do not need.
#include <algorithm>

#include "engine/base/points.h"
#include "engine/fs/filesystem_state.h"

namespace cowfs::fs {

using format::BucketId;

namespace {
constexpr std::size_t give_back_count = 8;  // to whoever asks, at once
}

// A checkpoint that finds nothing in the table may have what others can spare; users ask for that themselves, with more.
Task<Result<slice::LeaseGrant>> FilesystemState::lease(u16 slice, std::size_t count, slice::Watermark watermark) {
  auto grant = [this, slice, count, watermark] { return leases_->grant(slice, count, watermark); };
  Result<slice::LeaseGrant> granted = co_await runtime::on(core_of_slice(0), grant);
  if (!granted || !granted->buckets.empty() || watermark != slice::Watermark::metadata) co_return granted;
  const Result<bool> given = co_await ask_others(slice, false);
  if (!given) co_return given.error();
  if (*given) granted = co_await runtime::on(core_of_slice(0), grant);
  co_return granted;
}

Task<Status> FilesystemState::make_room(u16 slice) {
  co_await here().pay_for_metadata();
  co_return co_await here().slice(slice).data.supply.wait_for_room();
}

void FilesystemState::space_grew(const format::Superblock& superblock) {
  leases_->extend(superblock.bucket_count);
  superblock_.bucket_count = superblock.bucket_count;
  superblock_.capacity_blocks = superblock.capacity_blocks;
  const u64 before = usable_blocks_;
  usable_blocks_ = usable_buckets() * superblock_.bucket_blocks;
  free_tokens_ += usable_blocks_ - before;
}

Task<Result<u64>> FilesystemState::acquire(u64 wanted) {
  const CoreIndex asking = runtime::this_reactor().core();
  auto grant = [this, wanted, asking] { return grant_tokens(wanted, asking); };
  co_return co_await runtime::on(CoreIndex{0}, std::move(grant));
}

// What the asking core has left stays there: given to it once more it would look like help, and it would ask for ever.
Task<Result<u64>> FilesystemState::grant_tokens(u64 wanted, CoreIndex asking) {
  co_await token_lock_.acquire();
  const runtime::MutexHold hold(token_lock_);
  if (free_tokens_ == 0) {
    for (CoreIndex index = 0; index < cores(); ++index) {
      if (index == asking) continue;
      auto ask = [this, index, wanted] { return surrender_tokens(index, wanted); };
      const u64 surrendered = co_await runtime::on(index, std::move(ask));
      if (surrendered > 0) reached(Point::tokens_surrendered);
      free_tokens_ += surrendered;
    }
  }
  const u64 granted = std::min(wanted, free_tokens_);
  free_tokens_ -= granted;
  co_return granted;
}

Task<Result<bool>> FilesystemState::await_freed() {
  for (CoreIndex index = 0; index < cores(); ++index) {
    auto wait = [this, index] { return core(index).await_freed(); };
    const Result<bool> freed = co_await runtime::on(index, std::move(wait));
    if (!freed || *freed) co_return freed;
  }
  co_return false;
}

Task<u64> FilesystemState::surrender_tokens(CoreIndex index, u64 wanted) { co_return core(index).data().tokens.surrender(wanted); }

Task<Result<bool>> FilesystemState::ask_others(u16 asking, bool clean) {
  bool any = false;
  for (u16 id = 0; id < superblock_.slices; ++id) {
    if (id == asking) continue;
    auto ask = [this, id, clean] { return give_back(id, clean); };
    const Result<bool> given = co_await runtime::on(core_of_slice(id), std::move(ask));
    if (!given) co_return given.error();
    any = any || *given;
  }
  co_return any;
}

// What this slice can spare goes back to the table; with `clean` a slice that has nothing to spare works for it.
Task<Result<bool>> FilesystemState::give_back(u16 id, bool clean) {
  SliceState& state = here().slice(id);
  space::BucketTable& buckets = state.slice.buckets();
  bool gained = false;
  if (clean && !state.slice.may_take(slice::Watermark::user)) {
    const Result<bool> emptied = co_await empty_one(state);
    if (!emptied) co_return emptied.error();
    gained = *emptied;
  }
  const auto spare = [&state] {
    const std::size_t empty = state.slice.buckets().empty_count();
    return std::min(give_back_count, empty - std::min(empty, state.slice.kept_back(slice::Watermark::user)));
  };
  std::vector<BucketId> given = buckets.give_back(spare());
  if (clean && given.empty() && spare() > 0) {
    // What is empty here is so since the last checkpoint, which still counts blocks in it.
    const Status checkpointed = co_await state.slice.checkpoint();
    if (!checkpointed && error_class(checkpointed.error().code) != ErrorClass::space) co_return checkpointed.error();
    given = buckets.give_back(spare());
  }
  if (given.empty()) co_return gained;
  reached(Point::leases_returned);
  auto take = [this, given = std::move(given)] { return leases_->take_back(given); };
  const Status taken = co_await runtime::on(core_of_slice(0), std::move(take));
  if (!taken) co_return taken.error();
  co_return true;
}

// Cleans one bucket. False: there is none whose evacuation gains anything.
Task<Result<bool>> FilesystemState::empty_one(SliceState& state) {
  const Result<bool> cleaned = co_await state.copygc.clean_one(data::Need::now);
  if (!cleaned && error_class(cleaned.error().code) != ErrorClass::space) co_return cleaned.error();
  if (state.slice.buckets().freeing_count() > 0) {
    const Status committed = co_await here().stream().commit(here().stream().current());
    if (!committed) co_return committed.error();
  }
  co_return cleaned && *cleaned;
}

Task<Result<SpaceUse>> FilesystemState::space_use() {
  SpaceUse use;
  use.block_bytes = block_bytes;
  use.name_bytes_max = format::name_bytes_max;
  use.blocks = usable_blocks_;
  u64 used = 0;
  for (const auto& state : cores_) {
    used += state->published_used_blocks();
    use.inodes += state->published_inodes();
  }
  use.blocks_free = use.blocks - std::min(use.blocks, used);
  co_return use;
}

}  // namespace cowfs::fs
