// Which parts of a pool's space are being written, and which nobody may write for a while: what copies a piece from one member to
// another keeps writers off it, so that it cannot lay old bytes over theirs. Any core. A writer that meets nobody pays two atomic
// additions for each MiB.
#pragma once
#include <array>
#include <atomic>

#include "engine/base/types.h"
#include "engine/runtime/task.h"

namespace cowfs::pool {

class RangeLocks {
 public:
  // False: somebody holds some of it; wait a pause and try again. Else leave() when the write has ended.
  bool try_enter(u64 offset_bytes, u64 length_bytes);
  void leave(u64 offset_bytes, u64 length_bytes);
  static runtime::Task<void> pause();

  // Resumes when nobody writes there any more, and nobody may until release(). Who hold at one time hold different bytes.
  runtime::Task<void> hold(u64 offset_bytes, u64 length_bytes);
  void release(u64 offset_bytes, u64 length_bytes);

 private:
  static constexpr u64 unit_bytes = 1 * mib;
  static constexpr u64 units = 1024;  // so many that what is far apart seldom shares one
  static constexpr u32 writer = 1;
  static constexpr u32 holder = 1u << 16;

  struct Units {
    u64 first = 0, end = 0;
  };
  static Units units_of(u64 offset_bytes, u64 length_bytes);
  std::atomic<u32>& unit(u64 number) { return units_[number % units]; }
  bool is_written(Units range);

  std::array<std::atomic<u32>, units> units_{};  // writers, and holders times `holder`
};

}  // namespace cowfs::pool
