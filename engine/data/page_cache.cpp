#include "engine/data/page_cache.h"

#include "engine/base/points.h"
#include "engine/data/file_data.h"

namespace cowfs::data {
namespace {

i64 percent_of_blocks(Bytes budget, u64 percent) { return static_cast<i64>(budget.value / block_bytes * percent / 100); }

}  // namespace

PageCache::PageCache(Bytes budget, CacheLimits limits)
    : arena_(budget),
      dirty_background_(percent_of_blocks(arena_.budget(), limits.dirty_background_percent)),
      dirty_max_(percent_of_blocks(arena_.budget(), limits.dirty_percent)) {}

PageCache::~PageCache() {
  assert(folio_count_ == 0);
  while (free_folios_ != nullptr) delete std::exchange(free_folios_, free_folios_->next);
}

Folio* PageCache::create(FileData& file, u64 window, u32 blocks, Budget budget) {
  const u32 order = order_for(blocks);
  std::byte* memory = allocate(order, budget);
  if (memory == nullptr) return nullptr;
  Folio* folio = free_folios_;
  if (folio != nullptr) {
    free_folios_ = folio->next;
    *folio = {};
  } else {
    folio = new Folio;
  }
  folio->file = &file;
  folio->window = window;
  folio->memory = memory;
  folio->order = static_cast<u8>(order);
  link(*folio);
  return folio;
}

bool PageCache::grow(Folio& folio, u32 blocks, Budget budget) {
  assert(folio.loading == 0);
  const u32 order = order_for(blocks);
  if (order <= folio.order) return true;
  folio.loading = mask_of(0, 1);  // keeps it from being evicted for its own sake
  std::byte* memory = allocate(order, budget);
  folio.loading = 0;
  if (memory == nullptr) return false;
  std::memcpy(memory, folio.memory, folio.blocks() * block_bytes);
  release(folio);
  folio.memory = memory;
  folio.order = static_cast<u8>(order);
  return true;
}

void PageCache::destroy(Folio& folio) {
  assert(folio.dirty == 0 && folio.loading == 0);
  release(folio);
  unlink(folio);
  folio.next = free_folios_;
  free_folios_ = &folio;
}

void PageCache::release(Folio& folio) {
  if (arena_.is_borrowed(folio.memory)) --beyond_folios_;
  arena_.free(folio.memory, folio.order);
}

std::byte* PageCache::allocate(u32 order, Budget budget) {
  // Only while something is under way, at whose end who waits is woken.
  const bool refused = busy_folios_ > 0 && forced(Point::page_memory_refused);
  do {
    if (refused) break;
    if (std::byte* memory = arena_.allocate(order)) return memory;
  } while (evict_one());
  if (budget == Budget::kept) return nullptr;
  ++beyond_folios_;
  return arena_.borrow(order);
}

bool PageCache::keep_budget() {
  if (beyond_folios_ <= beyond_folios_max_) return true;
  Folio* folio = hand_;
  for (u64 left = folio_count_; left > 0; --left) {
    Folio& seen = *std::exchange(folio, folio->next);
    if (arena_.is_borrowed(seen.memory) && may_go(seen)) evict(seen);
  }
  return beyond_folios_ <= beyond_folios_max_;
}

void PageCache::evict_all() {
  while (evict_one()) {
  }
}

void PageCache::evict(Folio& folio) {
  ++evictions_;
  folio.file->forget(folio);
  destroy(folio);
}

// The clock goes round twice at most: once to clear references, once to take.
bool PageCache::evict_one() {
  for (u64 steps = 2 * folio_count_; steps > 0; --steps) {
    Folio& folio = *hand_;
    hand_ = folio.next;
    if (!may_go(folio)) continue;
    if (folio.referenced) {
      folio.referenced = false;
      continue;
    }
    evict(folio);
    return true;
  }
  return false;
}

void PageCache::link(Folio& folio) {
  ++folio_count_;
  if (hand_ == nullptr) {
    hand_ = folio.previous = folio.next = &folio;
    return;
  }
  folio.next = hand_;
  folio.previous = hand_->previous;
  folio.previous->next = &folio;
  hand_->previous = &folio;
}

void PageCache::unlink(Folio& folio) {
  --folio_count_;
  if (hand_ == &folio) hand_ = folio.next == &folio ? nullptr : folio.next;
  folio.previous->next = folio.next;
  folio.next->previous = folio.previous;
}

}  // namespace cowfs::data
