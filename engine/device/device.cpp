#include "engine/device/device.h"

#include <cerrno>
#include <utility>

#include "engine/base/assert.h"

namespace cowfs::device {

namespace {

// A process that was stopped for a while finds its timers due before it hears what the device answered meanwhile: it looks
// again after this share of the limit.
constexpr u64 second_look_share = 8;
constexpr u64 ns_per_ms = 1'000'000;

}  // namespace

runtime::Task<Status> Device::restore_parity(const VerifiedBlocks&) { co_return Status{}; }

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
  began_ns_ = runtime::this_reactor().now_ns();
  if (Patience* patience = device_.patience_here()) patience->begin(*this);
  device_.start(*this);
}

void IoAwaiter::answered() {
  if (waited_for_) device_.patience_here()->end(*this);
  const Patience* const patience = device_.patience_here();
  const bool is_watched = patience != nullptr && !patience->is_stopped();
  if (result == -ENODEV && device_.copies() == 1 && is_watched) {
    const u64 place = kind == IoOperation::Kind::flush ? ~0ull : offset;
    device_.fail(ENODEV, Error{Code::device_io_failed, ENODEV, Place{.device = device_.index(), .offset_bytes = place}});
  }
  runtime::this_reactor().schedule(waiter);
}

void Patience::begin(IoAwaiter& request) {
  if (limit_ns_ == 0) return;
  request.waited_for_ = true;
  request.older_ = newest_;
  (newest_ == nullptr ? oldest_ : newest_->newer_) = &request;
  newest_ = &request;
  if (!armed) look_at(request.began_ns_ + limit_ns_);
}

void Patience::end(IoAwaiter& request) {
  (request.older_ == nullptr ? oldest_ : request.older_->newer_) = request.newer_;
  (request.newer_ == nullptr ? newest_ : request.newer_->older_) = request.older_;
}

void Patience::stop() {
  limit_ns_ = 0;
  stopped_ = true;
  runtime::this_reactor().cancel_timer(*this);
}

void Patience::look_at(u64 time_ns) {
  fire = [](runtime::Timer& timer) { static_cast<Patience&>(timer).look(); };
  deadline_ns = time_ns;
  runtime::this_reactor().start_timer(*this);
}

void Patience::look() {
  if (oldest_ == nullptr) return;  // the next request starts the timer again
  const u64 now_ns = runtime::this_reactor().now_ns();
  const u64 due_ns = oldest_->began_ns_ + limit_ns_;
  if (due_ns > now_ns) return look_at(due_ns);
  if (!std::exchange(oldest_->overdue_, true)) return look_at(now_ns + limit_ns_ / second_look_share);
  Device& device = oldest_->device_;
  const u64 place = oldest_->kind == IoOperation::Kind::flush ? ~0ull : oldest_->offset;
  device.fail(ETIMEDOUT, Error{Code::device_timed_out, (now_ns - oldest_->began_ns_) / ns_per_ms,
                               Place{.device = device.index(), .offset_bytes = place}});
}

Status IoAwaiter::await_resume() const {
  const Place place{.device = device_.index(), .offset_bytes = offset};
  if (began_ns_ != 0) device_.counters_.add_latency(kind, runtime::this_reactor().now_ns() - began_ns_);
  const bool is_whole = result >= 0 && static_cast<u64>(result) == length;
  if (is_whole) return {};
  if (began_ns_ != 0) device_.counters_.count_error();
  if (result < 0) return Error{Code::device_io_failed, static_cast<u64>(-result), place};
  return Error{Code::device_short_io, static_cast<u64>(result), place};
}

void Device::set_time_limit(u64 limit_ns, FailureObserver failed) {
  patience_ = std::vector<Patience>(runtime::this_reactor().cores());
  for (Patience& patience : patience_) patience.set_limit(limit_ns);
  on_failure_ = std::move(failed);
}

void Device::end_time_limit() {
  if (Patience* patience = patience_here()) patience->stop();
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
