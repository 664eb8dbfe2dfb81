#include "engine/codec/copy.h"

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace cowfs::codec {

#if defined(__SSE2__)

namespace {
constexpr std::size_t line_bytes = 64;  // a store to part of a line would fetch the rest of it
}

void copy_past_caches(std::byte* to, const std::byte* from, std::size_t bytes) {
  const std::size_t behind_line = reinterpret_cast<std::uintptr_t>(to) % line_bytes;
  const std::size_t head = std::min(bytes, behind_line == 0 ? 0 : line_bytes - behind_line);
  std::memcpy(to, from, head);
  std::size_t at = head;
  for (; at + line_bytes <= bytes; at += line_bytes) {
    __m128i words[4];
    std::memcpy(words, from + at, line_bytes);
    auto* line = reinterpret_cast<__m128i*>(to + at);
    for (int i = 0; i < 4; ++i) _mm_stream_si128(line + i, words[i]);
  }
  _mm_sfence();
  std::memcpy(to + at, from + at, bytes - at);
}

#else

void copy_past_caches(std::byte* to, const std::byte* from, std::size_t bytes) { std::memcpy(to, from, bytes); }

#endif

}  // namespace cowfs::codec
