#include "engine/device/write_through.h"

namespace cowfs::device {

using runtime::IoOperation;

namespace {

// A device without durable writes is flushed behind each; the kernel makes one flush of those that wait for one.
constexpr u64 few_writes = 16;
constexpr u64 few_bytes = 256 * kib;  // what is large waits in the device for these flushes

void raise(std::atomic<u64>& value, u64 to) {
  u64 now = value.load(std::memory_order_relaxed);
  while (now < to && !value.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
  }
}

}  // namespace

bool WriteThrough::begins(IoOperation& operation) {
  if (operation.kind == IoOperation::Kind::write) {
    const u64 before = writes_.fetch_add(1, std::memory_order_relaxed);
    bytes_.fetch_add(operation.length, std::memory_order_relaxed);
    if (before < durable_max_.load(std::memory_order_relaxed)) operation.durable = true;
  }
  if (operation.kind != IoOperation::Kind::flush) return false;
  flush_begins(operation);
  return operation.note == flushed_.load(std::memory_order_relaxed);
}

// As much will be written until the next flush as was until this one.
void WriteThrough::flush_begins(IoOperation& flush) {
  const u64 writes = writes_.exchange(0, std::memory_order_relaxed);
  const u64 bytes = bytes_.exchange(0, std::memory_order_relaxed);
  const bool is_little = writes <= few_writes && bytes <= few_bytes;
  durable_max_.store(is_little ? few_writes : 0, std::memory_order_relaxed);
  flush.note = cached_.load(std::memory_order_relaxed);
}

void WriteThrough::ended(IoOperation& operation) {
  if (operation.kind == IoOperation::Kind::write && !operation.durable) cached_.fetch_add(1, std::memory_order_relaxed);
  if (operation.kind == IoOperation::Kind::flush && operation.result == 0) raise(flushed_, operation.note);
}

}  // namespace cowfs::device
