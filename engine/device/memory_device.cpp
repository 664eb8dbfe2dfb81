#include "engine/device/memory_device.h"

#include <sys/mman.h>

#include <cerrno>

#include "engine/base/assert.h"

namespace cowfs::device {
namespace {

class MemoryDevice final : public Device {
 public:
  MemoryDevice(std::byte* memory, u64 capacity) : memory_(memory), capacity_(capacity) {}
  MemoryDevice(const MemoryDevice&) = delete;
  MemoryDevice& operator=(const MemoryDevice&) = delete;
  ~MemoryDevice() override { ::munmap(memory_, capacity_); }

  Bytes capacity() const override { return {capacity_}; }
  std::string describe() const override { return "memory"; }
  bool discards() const override { return true; }
  MutableByteSpan bytes() { return {memory_, capacity_}; }

  void start(IoOperation& operation) override {
    counters_.count(operation);
    std::byte* place = memory_ + operation.offset;
    operation.result = static_cast<i64>(operation.length);
    switch (operation.kind) {
      case IoOperation::Kind::read:
        std::memcpy(operation.data, place, operation.length);
        break;
      case IoOperation::Kind::write:
        std::memcpy(place, operation.data, operation.length);
        break;
      case IoOperation::Kind::flush:
        break;
      case IoOperation::Kind::discard:
        // Gives the memory back; reads as zeros afterwards.
        if (::madvise(place, operation.length, MADV_DONTNEED) != 0) operation.result = -errno;
        break;
    }
    operation.completed(operation);
  }

 private:
  std::byte* memory_;
  u64 capacity_;
};

Result<std::unique_ptr<MemoryDevice>> make(u64 capacity) {
  capacity = round_down(capacity, block_bytes);
  assert(capacity > 0);
  void* memory = ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return Error{Code::device_open_failed, static_cast<u64>(errno)};
  ::madvise(memory, capacity, MADV_HUGEPAGE);  // a wish: slower without, never wrong
  return std::make_unique<MemoryDevice>(static_cast<std::byte*>(memory), capacity);
}

}  // namespace

Result<std::unique_ptr<Device>> make_memory_device(Bytes capacity) {
  auto made = make(capacity.value);
  if (!made) return made.error();
  return std::unique_ptr<Device>(std::move(*made));
}

Result<std::unique_ptr<Device>> make_memory_device(const Image& image) {
  auto made = make(image.size());
  if (!made) return made.error();
  image.read(0, (*made)->bytes());
  return std::unique_ptr<Device>(std::move(*made));
}

}  // namespace cowfs::device
