// Zeroed memory that devices accept: aligned to block_bytes and a whole number of blocks. Owned by one holder, movable.
#pragma once
#include <cstdlib>
#include <cstring>
#include <memory>

#include "engine/base/assert.h"
#include "engine/base/types.h"

namespace cowfs::device {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(u64 length_bytes) : size_(round_up(length_bytes, block_bytes)) {
    if (size_ == 0) return;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(block_bytes, size_)));
    assert(data_ != nullptr);
    std::memset(data_.get(), 0, size_);
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  u64 size() const { return size_; }
  MutableByteSpan span() { return {data_.get(), size_}; }
  ByteSpan span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> data_;
  u64 size_ = 0;
};

}  // namespace cowfs::device
