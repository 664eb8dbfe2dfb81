#include "engine/data/page_arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <functional>
#include <new>

#include "engine/base/assert.h"

namespace cowfs::data {
namespace {
constexpr u64 huge_page_bytes = 2 * mib;
constexpr u64 populate_bytes = 4 * mib;  // milliseconds: less than the reads of a mount that are under way meanwhile take
}

PageArena::PageArena(Bytes budget)
    : window_count_(std::max<u64>(budget.value / window_bytes, 1)), pages_(window_count_ * window_blocks) {
  heads_.fill(none_);
  mapped_bytes_ = round_up(window_count_ * window_bytes, huge_page_bytes) + huge_page_bytes;
  void* mapped = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  assert(mapped != MAP_FAILED);
  mapping_ = mapped;
  base_ = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<u64>(mapped), huge_page_bytes));
  madvise(base_, window_count_ * window_bytes, MADV_HUGEPAGE);
}

bool PageArena::populate_some() {
  const u64 bytes = std::min(populate_bytes, window_count_ * window_bytes - populated_bytes_);
  if (bytes == 0) return false;
  madvise(base_ + populated_bytes_, bytes, MADV_POPULATE_WRITE);
  populated_bytes_ += bytes;
  return true;
}

PageArena::~PageArena() {
  munmap(mapping_, mapped_bytes_);
}

void PageArena::push(u32 block, u32 order) {
  Page& page = pages_[block];
  page = {heads_[order], none_, static_cast<u8>(order)};
  if (page.next != none_) pages_[page.next].previous = block;
  heads_[order] = block;
}

void PageArena::remove(u32 block, u32 order) {
  Page& page = pages_[block];
  if (page.previous != none_) pages_[page.previous].next = page.next;
  if (page.previous == none_) heads_[order] = page.next;
  if (page.next != none_) pages_[page.next].previous = page.previous;
  page = {};
}

std::byte* PageArena::allocate(u32 order) {
  u32 from = order;
  while (from <= order_max_ && heads_[from] == none_) ++from;
  u32 block;
  if (from <= order_max_) {
    block = heads_[from];
    remove(block, from);
  } else if (windows_started_ < window_count_) {
    block = static_cast<u32>(windows_started_++ * window_blocks);
    from = order_max_;
  } else {
    return nullptr;
  }
  while (from > order) {
    --from;
    push(block + (1u << from), from);
  }
  used_blocks_ += 1ull << order;
  return base_ + block * block_bytes;
}

std::byte* PageArena::borrow(u32 order) {
  const std::size_t bytes = block_bytes << order;
  used_blocks_ += 1ull << order;
  return static_cast<std::byte*>(::operator new(bytes, std::align_val_t{bytes}));
}

bool PageArena::is_borrowed(const std::byte* memory) const {
  return std::less<>{}(memory, base_) || !std::less<>{}(memory, base_ + window_count_ * window_bytes);
}

void PageArena::free(std::byte* memory, u32 order) {
  used_blocks_ -= 1ull << order;
  if (is_borrowed(memory)) return ::operator delete(memory, std::align_val_t{block_bytes << order});
  u32 block = static_cast<u32>((memory - base_) / static_cast<i64>(block_bytes));
  for (; order < order_max_; ++order) {
    const u32 buddy = block ^ (1u << order);
    if (pages_[buddy].free_order != order) break;
    remove(buddy, order);
    block = std::min(block, buddy);
  }
  push(block, order);
}

}  // namespace cowfs::data
