// What is counted, by the numbers under which the `counters` tree of slice 0 keeps totals since the filesystem was made.
#pragma once
#include <array>
#include <string_view>

#include "engine/base/assert.h"
#include "engine/base/latency.h"
#include "engine/format/key.h"

namespace cowfs::format {

enum class Activity : u8 {
  open = 0,
  close = 1,
  read = 2,
  write = 3,
  fsync = 4,
  sync = 5,
  truncate = 6,
  allocate = 7,
  seek = 8,
  stat = 9,
  lock = 10,
  mkdir = 11,
  rmdir = 12,
  unlink = 13,
  rename = 14,
  link = 15,
  symlink = 16,
  make_node = 17,
  read_link = 18,
  set_attributes = 19,
  get_xattr = 20,
  set_xattr = 21,
  space_use = 22,
  read_directory = 23,
  commit = 24,
  checkpoint = 25,
  copygc = 26,  // blocks moved
  device_read = 27,
  device_write = 28,
  device_flush = 29,
  device_discard = 30,
  device_error = 31,   // requests that a device failed
  copy_damaged = 32,   // copies found not to be what they should
  copy_repaired = 33,  // of them, overwritten with a good one
  scrub = 34,          // buckets of data looked through, and bytes read of them and of everything else
};
constexpr u8 activity_count = 35;

// Those that are also kept for each device by itself, under its id.
inline constexpr std::array device_activities{Activity::device_read,  Activity::device_write,  Activity::device_flush, Activity::device_discard,
                                       Activity::device_error, Activity::copy_damaged, Activity::copy_repaired};

// A CounterValue whose count is the bucket that a scrub goes on with; 0: it begins anew.
constexpr Key scrub_position_key{35, 0, 0};

constexpr Key counter_key(Activity activity, u64 device_id = 0) { return {static_cast<u64>(activity), device_id, 0}; }

using ActivityTotals = std::array<Totals, activity_count>;

std::string_view name(Activity activity);

struct CounterValue {  // 1040 bytes
  le64 count;
  le64 bytes;
  le64 latencies[latency_buckets];  // of those that were timed, by latency_bucket()
};
static_assert(sizeof(CounterValue) == 1040);

CounterValue encode_counter(const Totals& totals);
Totals decode_counter(ByteSpan value);  // a CounterValue

}  // namespace cowfs::format
