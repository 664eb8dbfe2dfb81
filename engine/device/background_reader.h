// How fast work that nobody waits for reads from devices: a scrub, or bringing a device up to date. And into what memory, which is
// used again. Any core.
#pragma once
#include <atomic>
#include <functional>
#include <vector>

#include "engine/device/aligned_buffer.h"
#include "engine/runtime/task.h"

namespace cowfs::device {

class BackgroundReader {
 public:
  // `bytes_per_second` of all devices together; 0: as fast as they answer, and while the number of `requests_of_others` grows
  // slowly enough that they hardly notice. Asked on any core.
  BackgroundReader(std::function<u64()> requests_of_others, u64 bytes_per_second);

  // Resumes when so many reads may be made.
  runtime::Task<void> before(u64 bytes);

  // At once.
  u64 run_bytes() const;
  static constexpr u64 run_bytes_max = 1 * mib;
  // Of run_bytes_max, with whatever was in it.
  AlignedBuffer take_buffer();
  void give_back(AlignedBuffer buffer);

 private:
  u64 rate(u64 now_ns);

  const std::function<u64()> requests_of_others_;
  const u64 bytes_per_second_;
  std::atomic<u64> next_ns_{0};
  std::atomic<u64> looked_ns_{0};
  std::atomic<u64> others_seen_{0};
  std::atomic<bool> is_busy_{false};
  std::vector<std::vector<AlignedBuffer>> spare_;  // by core
};

}  // namespace cowfs::device
