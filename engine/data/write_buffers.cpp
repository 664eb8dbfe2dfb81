#include "engine/data/write_buffers.h"

#include <sys/mman.h>

#include "engine/base/assert.h"
#include "engine/base/points.h"

namespace cowfs::data {

WriteBuffers::WriteBuffers(std::size_t count) : count_(count), bytes_(round_up(count * write_buffer_bytes, 2 * mib)) {
  void* mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert(mapped != MAP_FAILED);
  madvise(mapped, bytes_, MADV_HUGEPAGE);
  memory_ = static_cast<std::byte*>(mapped);
  for (std::size_t i = count; i-- > 0;) free_.push_back(memory_ + i * write_buffer_bytes);
}

WriteBuffers::~WriteBuffers() { munmap(memory_, bytes_); }

std::byte* WriteBuffers::try_take() {
  if (free_.empty() || (free_.size() < count_ && forced(Point::write_buffer_refused))) return nullptr;
  std::byte* buffer = free_.back();
  free_.pop_back();
  return buffer;
}

void WriteBuffers::put(std::byte* buffer) {
  free_.push_back(buffer);
  waiting_.wake_all();  // the first one may lack a bucket, too, and take none
}

}  // namespace cowfs::data
