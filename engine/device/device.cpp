#include "engine/device/device.h"

#include <cerrno>

#include "engine/base/assert.h"

namespace cowfs::device {

IoAwaiter::IoAwaiter(Device& device, IoOperation::Kind kind, std::byte* data, u64 offset, u64 length, bool durable)
    : device_(device) {
  operation_.kind = kind;
  operation_.data = data;
  operation_.offset = offset;
  operation_.length = length;
  operation_.durable = durable;
}

void IoAwaiter::await_suspend(std::coroutine_handle<> waiter) {
  assert(operation_.offset % block_bytes == 0 && operation_.length % block_bytes == 0);
  assert(reinterpret_cast<std::uintptr_t>(operation_.data) % block_bytes == 0);
  operation_.waiter = waiter;
  operation_.completed = [](IoOperation& done) { runtime::this_reactor().schedule(done.waiter); };
  // An answer and not an assertion: the address may come from a damaged pointer on the device.
  const u64 capacity = device_.capacity().value;
  if (operation_.offset > capacity || operation_.length > capacity - operation_.offset) {
    operation_.result = -ENXIO;
    operation_.completed(operation_);
    return;
  }
  began_ns_ = runtime::this_reactor().now_ns();
  device_.start(operation_);
}

Status IoAwaiter::await_resume() const {
  const Place place{.device = device_.index(), .offset_bytes = operation_.offset};
  if (began_ns_ != 0) device_.counters_.add_latency(operation_.kind, runtime::this_reactor().now_ns() - began_ns_);
  if (operation_.result < 0) return Error{Code::device_io_failed, static_cast<u64>(-operation_.result), place};
  const u64 moved = static_cast<u64>(operation_.result);
  if (moved < operation_.length) return Error{Code::device_short_io, moved, place};
  return {};
}

DeviceCounts DeviceCounters::counts() const {
  const auto value = [](const std::atomic<u64>& counter) { return counter.load(std::memory_order_relaxed); };
  return {value(reads_),      value(writes_),        value(flushes_),        value(discards_),
          value(read_bytes_), value(written_bytes_), value(discarded_bytes_)};
}

void DeviceCounters::add_latency(IoOperation::Kind kind, u64 ns) {
  latencies_[static_cast<std::size_t>(kind)][latency_bucket(ns)].fetch_add(1, std::memory_order_relaxed);
}

Totals DeviceCounters::totals(IoOperation::Kind kind) const {
  const DeviceCounts now = counts();
  Totals totals;
  switch (kind) {
    case IoOperation::Kind::read: totals.count = now.reads, totals.bytes = now.read_bytes; break;
    case IoOperation::Kind::write: totals.count = now.writes, totals.bytes = now.written_bytes; break;
    case IoOperation::Kind::flush: totals.count = now.flushes; break;
    case IoOperation::Kind::discard: totals.count = now.discards, totals.bytes = now.discarded_bytes; break;
  }
  const auto& latencies = latencies_[static_cast<std::size_t>(kind)];
  for (u32 bucket = 0; bucket < latency_buckets; ++bucket) {
    totals.latencies[bucket] = latencies[bucket].load(std::memory_order_relaxed);
  }
  return totals;
}

void DeviceCounters::count(const IoOperation& operation) {
  const auto add = [](std::atomic<u64>& counter, u64 amount) { counter.fetch_add(amount, std::memory_order_relaxed); };
  switch (operation.kind) {
    case IoOperation::Kind::read:
      add(reads_, 1);
      add(read_bytes_, operation.length);
      break;
    case IoOperation::Kind::write:
      add(writes_, 1);
      add(written_bytes_, operation.length);
      break;
    case IoOperation::Kind::flush:
      add(flushes_, 1);
      break;
    case IoOperation::Kind::discard:
      add(discards_, 1);
      add(discarded_bytes_, operation.length);
      break;
  }
}

}  // namespace cowfs::device
