// The bytes of a simulated device. Copies share memory until one of them is written, so an image after a power cut
// costs a few microseconds, not a copy of the device; what was never written reads as zeros and takes no memory. Copies
// belong to one thread.
#pragma once
#include <memory>
#include <vector>

#include "engine/base/types.h"

namespace cowfs::device {

class Image {
 public:
  static constexpr u64 chunk_bytes = 16 * kib;

  Image() = default;
  explicit Image(u64 size_bytes) : size_(size_bytes), chunks_((size_bytes + chunk_bytes - 1) / chunk_bytes) {}

  u64 size() const { return size_; }
  // Preconditions: the range is inside the image.
  void read(u64 offset, MutableByteSpan into) const;
  void write(u64 offset, ByteSpan from);
  void flip_bit(u64 offset, unsigned bit);
  // Its first bytes, or zeros behind all of them.
  Image resized(u64 size_bytes) const;
  bool operator==(const Image& other) const;
  // Of all bytes: equal images have equal hashes. Chunks remember theirs, so it costs only what changed since.
  u64 hash() const;

 private:
  struct Content {
    std::byte data[chunk_bytes];
    u64 hash = 0;  // 0: not known
  };
  using Chunk = std::shared_ptr<Content>;
  std::byte* writable(u64 index);

  u64 size_ = 0;
  std::vector<Chunk> chunks_;  // null: zeros
};

}  // namespace cowfs::device
