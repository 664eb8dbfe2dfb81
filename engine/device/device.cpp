#include "engine/device/device.h"

#include <cerrno>
#include <utility>

#include "engine/base/assert.h"

namespace cowfs::device {

namespace {

constexpr u64 ns_per_ms = 1'000'000;

}  // namespace

runtime::Task<Status> Device::restore_parity(const VerifiedBlocks&) { co_return Status{}; }

runtime::Task<Device::StripesSeen> Device::scrub_stripes(u64, u64, CheckBlock, bool) { co_return StripesSeen{}; }

IoAwaiter::IoAwaiter(Device& device, Kind request, std::byte* memory, u64 offset_bytes, u64 bytes, bool is_durable,
                     u16 which_copy)
    : device_(device) {
  kind = request;
  data = memory;
  offset = offset_bytes;
  length = bytes;
  durable = is_durable;
  copy = which_copy;
}

void IoAwaiter::await_suspend(std::coroutine_handle<> waiting) {
  assert(offset % block_bytes == 0 && length % block_bytes == 0);
  assert(reinterpret_cast<std::uintptr_t>(data) % block_bytes == 0);
  waiter = waiting;
  completed = [](IoOperation& done) { static_cast<IoAwaiter&>(done).answered(); };
  // Answers and not assertions: the address may come from a damaged pointer on the device.
  const u64 capacity = device_.capacity().value;
  if (offset > capacity || length > capacity - offset) {
    result = -ENXIO;
    return answered();
  }
  if (device_.has_failed()) {
    result = -device_.failed_.load(std::memory_order_relaxed);
    return answered();
  }
  began_ns = runtime::this_reactor().now_ns();
  if (Patience* patience = device_.patience_here()) patience->begin(*this, began_ns);
  device_.start(*this);
}

void IoAwaiter::answered() {
  Patience* const patience = device_.patience_here();
  if (patience != nullptr) patience->end(*this);
  const bool is_limited = patience != nullptr && !patience->is_stopped();
  if (result == -ENODEV && device_.copies() == 1 && is_limited) {
    const u64 place = kind == IoOperation::Kind::flush ? ~0ull : offset;
    device_.fail(ENODEV, Error{Code::device_io_failed, ENODEV, Place{.device = device_.index(), .offset_bytes = place}});
  }
  runtime::this_reactor().schedule(waiter);
}

void Device::overdue(Awaited& request, u64 waited_ns) {
  const IoAwaiter& awaiter = static_cast<IoAwaiter&>(request);
  Device& device = awaiter.device_;
  const u64 place = awaiter.kind == IoOperation::Kind::flush ? ~0ull : awaiter.offset;
  device.fail(ETIMEDOUT, Error{Code::device_timed_out, waited_ns / ns_per_ms,
                               Place{.device = device.index(), .offset_bytes = place}});
}

Status IoAwaiter::await_resume() const {
  const Place place{.device = device_.index(), .offset_bytes = offset};
  if (began_ns != 0) device_.counters_.add_latency(kind, runtime::this_reactor().now_ns() - began_ns);
  const bool is_whole = result >= 0 && static_cast<u64>(result) == length;
  if (is_whole) return {};
  if (began_ns != 0) device_.counters_.count_error();
  if (result < 0) return Error{Code::device_io_failed, static_cast<u64>(-result), place};
  return Error{Code::device_short_io, static_cast<u64>(result), place};
}

void Device::set_time_limit(u64 limit_ns, FailureObserver failed) {
  patience_ = std::vector<Patience>(runtime::this_reactor().cores());
  for (Patience& patience : patience_) patience.set_limit(limit_ns, &Device::overdue);
  on_failure_ = std::move(failed);
}

runtime::Task<void> Device::end_time_limit() {
  if (Patience* patience = patience_here()) patience->stop();
  co_return;
}

Patience* Device::patience_here() {
  const runtime::CoreIndex core = runtime::this_reactor().core();
  return core < patience_.size() ? &patience_[core] : nullptr;
}

void Device::fail(int number, const Error& error) {
  if (failed_.exchange(number, std::memory_order_relaxed) == 0 && on_failure_) on_failure_(error);
}

DeviceCounts DeviceCounters::counts() const {
  const auto value = [](const std::atomic<u64>& counter) { return counter.load(std::memory_order_relaxed); };
  return {value(reads_),      value(writes_),        value(flushes_),         value(discards_),
          value(read_bytes_), value(written_bytes_), value(discarded_bytes_), value(errors_),
          value(damaged_copies_), value(repaired_copies_)};
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
