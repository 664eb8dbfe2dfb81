// Memory for coroutine frames: per-thread free lists by size class, so that calling a coroutine costs nanoseconds.
// A frame may be freed on another thread than the one that made it; it then joins that thread's list.
#pragma once
#include <cstddef>

namespace cowfs::runtime {

void* allocate_frame(std::size_t bytes);
void free_frame(void* frame, std::size_t bytes) noexcept;

}  // namespace cowfs::runtime
