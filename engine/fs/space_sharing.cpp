// How slices share space: buckets are leased from slice 0's table, tokens from core 0's pool. When either runs out, core 0
// asks everybody for what they do not need.
#include <algorithm>

#include "engine/fs/filesystem_state.h"

namespace cowfs::fs {

using format::BucketId;

namespace {
constexpr std::size_t give_back_count = 8;
}

Task<Result<slice::LeaseGrant>> FilesystemState::lease(u16 slice, std::size_t count, slice::Watermark watermark) {
  auto grant = [this, slice, count, watermark] { return leases_->grant(slice, count, watermark); };
  co_return co_await runtime::on(core_of_slice(0), std::move(grant));
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
      free_tokens_ += co_await runtime::on(index, std::move(ask));
    }
  }
  const u64 granted = std::min(wanted, free_tokens_);
  free_tokens_ -= granted;
  co_return granted;
}

Task<u64> FilesystemState::surrender_tokens(CoreIndex index, u64 wanted) { co_return core(index).data().tokens.surrender(wanted); }

// Empty buckets of every slice go back to the table; a slice that has none empties one first, if cleaning gains anything.
Task<Result<bool>> FilesystemState::ask_others(u16 asking) {
  co_await runtime::on(CoreIndex{0}, [] {});
  bool any = false;
  for (u16 id = 0; id < superblock_.slices; ++id) {
    if (id == asking) continue;
    auto ask = [this, id] { return give_back(id); };
    const Result<bool> given = co_await runtime::on(core_of_slice(id), std::move(ask));
    if (!given) co_return given.error();
    any = any || *given;
  }
  co_return any;
}

Task<Result<bool>> FilesystemState::give_back(u16 id) {
  SliceState& state = here().slice(id);
  space::BucketTable& buckets = state.slice.buckets();
  // A cleaner at work may be the one who asks; waiting for it would be waiting for oneself.
  if (buckets.empty_count() == 0 && !state.copygc.is_cleaning()) {
    const Result<bool> cleaned = co_await state.copygc.clean_one();
    if (!cleaned && error_class(cleaned.error().code) != ErrorClass::space) co_return cleaned.error();
    if (buckets.freeing_count() > 0) {
      const Status committed = co_await here().stream().commit(here().stream().current());
      if (!committed) co_return committed.error();
    }
  }
  std::vector<BucketId> given = buckets.give_back(give_back_count);
  if (given.empty() && buckets.empty_count() > 0) {
    // What is empty here is so since the last checkpoint, which still counts blocks in it.
    const Status checkpointed = co_await state.slice.checkpoint();
    if (!checkpointed && error_class(checkpointed.error().code) != ErrorClass::space) co_return checkpointed.error();
    given = buckets.give_back(give_back_count);
  }
  if (given.empty()) co_return false;
  auto take = [this, given = std::move(given)] { return leases_->take_back(given); };
  const Status taken = co_await runtime::on(core_of_slice(0), std::move(take));
  if (!taken) co_return taken.error();
  co_return true;
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
