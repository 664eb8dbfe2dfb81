// The memory of one core's page cache: one mapping on huge pages, handed out in powers of two from one block to a whole
// window (64 KiB) by a buddy allocator (Knuth, TAOCP 1, 2.5). Memory is touched once and recycled for ever.
#pragma once
#include <array>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/types.h"

namespace cowfs::data {

constexpr u32 window_blocks = 16;  // of a file: the unit in which the cache looks things up
constexpr u64 window_bytes = window_blocks * block_bytes;

class PageArena {
 public:
  explicit PageArena(Bytes budget);
  ~PageArena();
  PageArena(const PageArena&) = delete;
  PageArena& operator=(const PageArena&) = delete;

  // 2^order blocks, order 0..4, aligned to its size; null when there is none.
  std::byte* allocate(u32 order);
  // The same from beyond the budget.
  std::byte* borrow(u32 order);
  bool is_borrowed(const std::byte* memory) const;
  void free(std::byte* memory, u32 order);

  // Touches the next part of the memory, so that no page fault happens there later. False when there is no more.
  bool populate_some();

  Bytes budget() const { return {window_count_ * window_bytes}; }
  Bytes used() const { return {used_blocks_ * block_bytes}; }

 private:
  static constexpr u32 order_max_ = 4;
  static constexpr u32 none_ = ~0u;
  struct Page {  // of the first block of a free run
    u32 next = none_;
    u32 previous = none_;
    u8 free_order = 0xff;  // 0xff: not the start of a free run
  };
  void push(u32 block, u32 order);
  void remove(u32 block, u32 order);

  void* mapping_ = nullptr;
  std::byte* base_ = nullptr;  // the first huge page of it
  u64 mapped_bytes_ = 0;
  u64 populated_bytes_ = 0;
  u64 window_count_;
  u64 windows_started_ = 0;  // windows beyond were never handed out
  u64 used_blocks_ = 0;
  std::vector<Page> pages_;
  std::array<u32, order_max_ + 1> heads_;
};

// The smallest order that holds `blocks`.
constexpr u32 order_for(u32 blocks) { return blocks <= 1 ? 0 : static_cast<u32>(std::bit_width(blocks - 1)); }

}  // namespace cowfs::data
