#include "harness/io_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

namespace cowbench::harness {

Outcome<IoMemory> IoMemory::map(u32 buffers, u64 buffer_bytes) {
  IoMemory made;
  made.buffer_bytes_ = buffer_bytes;
  made.stride_ = cowfs::round_up(buffer_bytes, 4096);
  made.bytes_ = cowfs::round_up(made.stride_ * buffers, 2 * cowfs::mib);
  void* memory = mmap(nullptr, made.bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return system_failure("map memory for the clients' buffers", errno);
  madvise(memory, made.bytes_, MADV_HUGEPAGE);
  made.memory_ = static_cast<std::byte*>(memory);
  return made;
}

IoMemory::IoMemory(IoMemory&& other) noexcept { *this = std::move(other); }

IoMemory& IoMemory::operator=(IoMemory&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  std::swap(stride_, other.stride_);
  std::swap(buffer_bytes_, other.buffer_bytes_);
  return *this;
}

IoMemory::~IoMemory() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

}  // namespace cowbench::harness
