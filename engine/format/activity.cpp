#include "engine/format/activity.h"

#include <algorithm>

namespace cowfs::format {

std::string_view name(Activity activity) {
  switch (activity) {
    case Activity::open:
      return "open";
    case Activity::close:
      return "close";
    case Activity::read:
      return "read";
    case Activity::write:
      return "write";
    case Activity::fsync:
      return "fsync";
    case Activity::sync:
      return "sync";
    case Activity::truncate:
      return "truncate";
    case Activity::allocate:
      return "allocate";
    case Activity::seek:
      return "seek";
    case Activity::stat:
      return "stat";
    case Activity::lock:
      return "lock";
    case Activity::mkdir:
      return "mkdir";
    case Activity::rmdir:
      return "rmdir";
    case Activity::unlink:
      return "unlink";
    case Activity::rename:
      return "rename";
    case Activity::link:
      return "link";
    case Activity::symlink:
      return "symlink";
    case Activity::make_node:
      return "make_node";
    case Activity::read_link:
      return "read_link";
    case Activity::set_attributes:
      return "set_attributes";
    case Activity::get_xattr:
      return "get_xattr";
    case Activity::set_xattr:
      return "set_xattr";
    case Activity::space_use:
      return "space_use";
    case Activity::read_directory:
      return "read_directory";
    case Activity::commit:
      return "commit";
    case Activity::checkpoint:
      return "checkpoint";
    case Activity::copygc:
      return "copygc";
    case Activity::device_read:
      return "device_read";
    case Activity::device_write:
      return "device_write";
    case Activity::device_flush:
      return "device_flush";
    case Activity::device_discard:
      return "device_discard";
    case Activity::device_error:
      return "device_error";
    case Activity::copy_damaged:
      return "copy_damaged";
    case Activity::copy_repaired:
      return "copy_repaired";
    case Activity::scrub:
      return "scrub";
  }
  return "unknown";
}

CounterValue encode_counter(const Totals& totals) {
  CounterValue value{};
  value.count = totals.count;
  value.bytes = totals.bytes;
  std::copy(totals.latencies.begin(), totals.latencies.end(), value.latencies);
  return value;
}

Totals decode_counter(ByteSpan value) {
  assert(value.size() == sizeof(CounterValue));
  CounterValue stored;
  std::memcpy(&stored, value.data(), sizeof stored);
  Totals totals;
  totals.count = stored.count;
  totals.bytes = stored.bytes;
  std::copy(std::begin(stored.latencies), std::end(stored.latencies), totals.latencies.begin());
  return totals;
}

}  // namespace cowfs::format
