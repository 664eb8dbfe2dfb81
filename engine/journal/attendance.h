// Whether a core takes part in its current epoch. Most epochs of a filesystem with many cores concern few of them: core 0
// moves a core that takes no part on to the next epoch without a message, and so without waking it.
//
// A core takes part from the moment it looks at the epoch (attend), since from then on something of it may belong to that
// epoch. Both sides change one word, so a core that attends learns its epoch, or core 0 learns that it has to ask.
#pragma once
#include <atomic>

#include "engine/base/types.h"

namespace cowfs::journal {

class Attendance {
 public:
  explicit Attendance(Epoch first) : word_(absent_in(first)) {}

  // The core: takes part from now on. Answers in which epoch.
  Epoch attend() { return {word_.fetch_or(1, std::memory_order_acq_rel) >> 1}; }
  // The core, as it leaves the epoch before `next`, in which it took part.
  void leave_for(Epoch next) { word_.store(absent_in(next), std::memory_order_release); }
  // Core 0, which closes `epoch`: moves the core on. False: it takes part and has to leave by itself.
  bool skip(Epoch epoch) {
    u64 absent = absent_in(epoch);
    return word_.compare_exchange_strong(absent, absent_in({epoch.value + 1}), std::memory_order_acq_rel);
  }

 private:
  static constexpr u64 absent_in(Epoch epoch) { return epoch.value << 1; }

  alignas(64) std::atomic<u64> word_;  // the epoch, and in the lowest bit whether the core takes part
};

}  // namespace cowfs::journal
