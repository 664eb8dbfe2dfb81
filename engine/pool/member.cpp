// What a hanging device reads comes at any time later, so it must not come into memory that somebody else has by then: reads go
// through memory of the pool and are copied. Writes need no copy: the device takes what it finds, and what it has does not count.
#include "engine/pool/member.h"

#include <bit>
#include <cerrno>

#include "engine/base/assert.h"

namespace cowfs::pool {

using device::AlignedBuffer;
using device::IoOperation;

namespace {

constexpr u64 ns_per_ms = 1'000'000;
constexpr u64 spare_bytes_max = 1 * mib;  // of each size

std::size_t size_of(u64 bytes) { return static_cast<std::size_t>(std::bit_width((bytes - 1) / block_bytes)); }

}  // namespace

AlignedBuffer ReadMemory::take(u64 bytes) {
  const std::size_t size = size_of(bytes);
  if (size >= sizes || spare_[size].empty()) return AlignedBuffer(block_bytes << size);
  AlignedBuffer memory = std::move(spare_[size].back());
  spare_[size].pop_back();
  return memory;
}

void ReadMemory::give_back(AlignedBuffer memory) {
  const std::size_t size = size_of(memory.size());
  if (size < sizes && (spare_[size].size() + 1) * memory.size() <= spare_bytes_max) spare_[size].push_back(std::move(memory));
}

struct Member::Errand : IoOperation, device::Awaited {
  Member* member = nullptr;
  IoOperation* asked = nullptr;  // null: nobody waits
  AlignedBuffer memory;          // of a read
};

Member::Member(device::Device* device, u16 number, std::vector<ReadMemory>& memory)
    : device_(device), memory_(memory), desks_(std::make_unique<Desk[]>(runtime::this_reactor().cores())) {
  set_index(number);
}

Member::~Member() { assert(!is_silent()); }

void Member::forgive() {
  assert(!is_silent());
  is_refused_.store(false, std::memory_order_relaxed);
}

void Member::set_time_limit(u64 limit_ns, FailureObserver failed) {
  on_failure_ = std::move(failed);
  for (runtime::CoreIndex core = 0; core < runtime::this_reactor().cores(); ++core) {
    desks_[core].is_limited = limit_ns > 0;
    desks_[core].patience.set_limit(limit_ns, &Member::overdue);
  }
}

runtime::Task<void> Member::end_time_limit() {
  Desk& desk = desk_here();
  desk.is_limited = false;
  desk.patience.stop();
  while (desk.hanging > 0) co_await desk.answered.wait();
}

void Member::start(IoOperation& asked) {
  Desk& desk = desk_here();
  if (!desk.is_limited) return device_->start(asked);
  if (is_refused_.load(std::memory_order_relaxed)) {
    asked.result = -ETIMEDOUT;
    return asked.completed(asked);
  }
  auto* errand = new Errand;
  static_cast<IoOperation&>(*errand) = asked;
  errand->member = this;
  errand->asked = &asked;
  errand->completed = &Member::answered;
  if (asked.kind == IoOperation::Kind::read) {
    errand->memory = memory_[runtime::this_reactor().core()].take(asked.length);
    errand->data = errand->memory.data();
  }
  desk.patience.begin(*errand, runtime::this_reactor().now_ns());
  device_->start(*errand);
}

void Member::answered(IoOperation& operation) {
  const std::unique_ptr<Errand> errand(static_cast<Errand*>(&operation));
  Member& member = *errand->member;
  Desk& desk = member.desk_here();
  IoOperation* const asked = errand->asked;
  if (asked == nullptr) {
    member.hanging_.fetch_sub(1, std::memory_order_relaxed);
    if (--desk.hanging == 0) desk.answered.wake_all();
    return;
  }
  desk.patience.end(*errand);
  asked->result = errand->result;
  if (asked->kind == IoOperation::Kind::read) {
    if (errand->result > 0) std::memcpy(asked->data, errand->data, static_cast<std::size_t>(errand->result));
    member.memory_[runtime::this_reactor().core()].give_back(std::move(errand->memory));
  }
  asked->completed(*asked);
}

void Member::overdue(device::Awaited& request, u64 waited_ns) {
  const Errand& errand = static_cast<Errand&>(request);
  Member& member = *errand.member;
  const u64 place = errand.kind == IoOperation::Kind::flush ? ~0ull : errand.offset;
  member.is_refused_.store(true, std::memory_order_relaxed);
  member.on_failure_(Error{Code::device_timed_out, waited_ns / ns_per_ms, {.device = member.index(), .offset_bytes = place}});
  member.give_up(member.desk_here());
}

// Those of this core; other cores see for themselves, since their requests may still be answered.
void Member::give_up(Desk& desk) {
  while (desk.patience.oldest() != nullptr) {
    Errand& errand = static_cast<Errand&>(*desk.patience.oldest());
    IoOperation& asked = *errand.asked;
    desk.patience.end(errand);
    errand.asked = nullptr;
    errand.abandoned = true;
    ++desk.hanging;
    hanging_.fetch_add(1, std::memory_order_relaxed);
    asked.result = -ETIMEDOUT;
    asked.completed(asked);
  }
}

}  // namespace cowfs::pool
