// Memory that reads and writes of one client go to and come from: one mapping on huge pages, cut into equal buffers.
#pragma once
#include <span>

#include "harness/outcome.h"
#include "harness/target_calls.h"

namespace cowbench::harness {

class IoMemory {
 public:
  // Every buffer begins at a multiple of 4 KiB. Failure failed: there is not enough memory.
  static Outcome<IoMemory> map(u32 buffers, u64 buffer_bytes);
  IoMemory(IoMemory&& other) noexcept;
  IoMemory& operator=(IoMemory&& other) noexcept;
  ~IoMemory();

  MutableByteSpan buffer(u32 index) const { return {memory_ + index * stride_, buffer_bytes_}; }
  MutableByteSpan whole() const { return {memory_, bytes_}; }

 private:
  IoMemory() = default;
  std::byte* memory_ = nullptr;
  u64 bytes_ = 0, stride_ = 0, buffer_bytes_ = 0;
};

}  // namespace cowbench::harness
