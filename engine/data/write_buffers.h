// Staging memory for device writes, shared by the write points of one core: a few large buffers on huge pages, recycled.
#pragma once
#include <vector>

#include "engine/base/types.h"
#include "engine/runtime/sync.h"

namespace cowfs::data {

constexpr u64 write_buffer_bytes = 512 * kib;

class WriteBuffers {
 public:
  explicit WriteBuffers(std::size_t count);
  ~WriteBuffers();
  WriteBuffers(const WriteBuffers&) = delete;
  WriteBuffers& operator=(const WriteBuffers&) = delete;

  // Null when all are in use; then wait for one to come back and try again.
  std::byte* try_take();
  void put(std::byte* buffer);
  runtime::WaitList::Awaiter returned() { return waiting_.wait(); }

 private:
  const std::size_t count_;
  std::byte* memory_ = nullptr;
  u64 bytes_ = 0;
  std::vector<std::byte*> free_;
  runtime::WaitList waiting_;
};

}  // namespace cowfs::data
