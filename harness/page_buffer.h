// Memory that a client reads into or writes from. It begins at a page, as no block of malloc's does: where `rep movsb` copies
// (glibc and the kernel, on AMD's Zen 3), a target that begins 1 to 63 bytes later in its page than the source costs five
// times as much (measured: 2.6 against 13 GB/s for 60 KiB from memory), and whom that meets would be a matter of luck.
#pragma once
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::harness {

class PageBuffer {
 public:
  explicit PageBuffer(cowfs::u64 bytes) : pages_((bytes + page_bytes - 1) / page_bytes), bytes_(bytes) {}

  cowfs::MutableByteSpan span() { return {pages_.empty() ? nullptr : pages_.front().bytes.data(), bytes_}; }

 private:
  static constexpr std::size_t page_bytes = 4 * cowfs::kib;
  struct alignas(page_bytes) Page {
    std::array<std::byte, page_bytes> bytes;
  };

  std::vector<Page> pages_;
  std::size_t bytes_;
};

}  // namespace cowbench::harness
