#include "engine/device/image.h"

#include <algorithm>

#include "engine/base/assert.h"
#include "engine/codec/hash.h"

namespace cowfs::device {

void Image::read(u64 offset, MutableByteSpan into) const {
  assert(offset <= size_ && into.size() <= size_ - offset);
  while (!into.empty()) {
    const u64 start = offset % chunk_bytes;
    const u64 count = std::min<u64>(into.size(), chunk_bytes - start);
    const Chunk& chunk = chunks_[offset / chunk_bytes];
    if (chunk == nullptr) {
      std::memset(into.data(), 0, count);
    } else {
      std::memcpy(into.data(), chunk->data + start, count);
    }
    into = into.subspan(count);
    offset += count;
  }
}

void Image::write(u64 offset, ByteSpan from) {
  assert(offset <= size_ && from.size() <= size_ - offset);
  while (!from.empty()) {
    const u64 start = offset % chunk_bytes;
    const u64 count = std::min<u64>(from.size(), chunk_bytes - start);
    std::memcpy(writable(offset / chunk_bytes) + start, from.data(), count);
    from = from.subspan(count);
    offset += count;
  }
}

Image Image::resized(u64 size_bytes) const {
  Image image(size_bytes);
  std::copy_n(chunks_.begin(), std::min(chunks_.size(), image.chunks_.size()), image.chunks_.begin());
  const u64 rest = size_bytes % chunk_bytes;
  if (rest == 0 || image.chunks_.back() == nullptr) return image;
  std::memset(image.writable(size_bytes / chunk_bytes) + rest, 0, chunk_bytes - rest);
  return image;
}

void Image::flip_bit(u64 offset, unsigned bit) {
  assert(offset < size_ && bit < 8);
  writable(offset / chunk_bytes)[offset % chunk_bytes] ^= std::byte{1} << bit;
}

bool Image::operator==(const Image& other) const {
  if (size_ != other.size_) return false;
  static const std::byte zeros[chunk_bytes] = {};
  for (u64 i = 0; i < chunks_.size(); ++i) {
    if (chunks_[i] == other.chunks_[i]) continue;
    const std::byte* mine = chunks_[i] == nullptr ? zeros : chunks_[i]->data;
    const std::byte* theirs = other.chunks_[i] == nullptr ? zeros : other.chunks_[i]->data;
    if (std::memcmp(mine, theirs, chunk_bytes) != 0) return false;
  }
  return true;
}

u64 Image::hash() const {
  static const u64 hash_of_zeros = [] {
    const Content zeros{};
    return codec::xxh3(zeros.data);
  }();
  u64 sum = size_;
  for (u64 i = 0; i < chunks_.size(); ++i) {
    if (chunks_[i] == nullptr) continue;
    Content& chunk = *chunks_[i];
    if (chunk.hash == 0) chunk.hash = codec::xxh3(chunk.data) | 1;
    if (chunk.hash != (hash_of_zeros | 1)) sum += (chunk.hash ^ i) * 0x9e3779b97f4a7c15;
  }
  return sum;
}

std::byte* Image::writable(u64 index) {
  Chunk& chunk = chunks_[index];
  if (chunk == nullptr) {
    chunk = std::make_shared<Content>();
  } else if (chunk.use_count() > 1) {
    chunk = std::make_shared<Content>(*chunk);
  }
  chunk->hash = 0;
  return chunk->data;
}

}  // namespace cowfs::device
