// Both count themselves before they look at the other's count: one of the two sees the other.
#include "engine/pool/range_locks.h"

#include "engine/runtime/sync.h"

namespace cowfs::pool {

namespace {

constexpr u64 pause_ns = 50'000;  // about a request to a device

}  // namespace

runtime::Task<void> RangeLocks::pause() { co_await runtime::sleep_until(runtime::this_reactor().now_ns() + pause_ns); }

RangeLocks::Units RangeLocks::units_of(u64 offset_bytes, u64 length_bytes) {
  return {offset_bytes / unit_bytes, (offset_bytes + length_bytes + unit_bytes - 1) / unit_bytes};
}

bool RangeLocks::try_enter(u64 offset_bytes, u64 length_bytes) {
  const Units range = units_of(offset_bytes, length_bytes);
  for (u64 number = range.first; number < range.end; ++number) {
    if (unit(number).fetch_add(writer) < holder) continue;
    for (u64 entered = range.first; entered <= number; ++entered) unit(entered).fetch_sub(writer);
    return false;
  }
  return true;
}

void RangeLocks::leave(u64 offset_bytes, u64 length_bytes) {
  const Units range = units_of(offset_bytes, length_bytes);
  for (u64 number = range.first; number < range.end; ++number) unit(number).fetch_sub(writer);
}

runtime::Task<void> RangeLocks::hold(u64 offset_bytes, u64 length_bytes) {
  const Units range = units_of(offset_bytes, length_bytes);
  for (u64 number = range.first; number < range.end; ++number) unit(number).fetch_add(holder);
  while (is_written(range)) co_await pause();
}

void RangeLocks::release(u64 offset_bytes, u64 length_bytes) {
  const Units range = units_of(offset_bytes, length_bytes);
  for (u64 number = range.first; number < range.end; ++number) unit(number).fetch_sub(holder);
}

bool RangeLocks::is_written(Units range) {
  for (u64 number = range.first; number < range.end; ++number)
    if (unit(number).load() % holder != 0) return true;
  return false;
}

}  // namespace cowfs::pool
