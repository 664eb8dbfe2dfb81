// What a power cut may leave of the writes that were not durable yet: which of them, and which units of each.
#pragma once
#include "engine/device/sim_device.h"

namespace cowfs::sim {

// The units [first, end) of one write were stored; none when they are equal.
struct Kept {
  u64 first = 0;
  u64 end = 0;
  bool operator==(const Kept&) const = default;
};

// One for each pending write, in their order.
using CrashState = std::vector<Kept>;

struct CrashLimits {
  std::size_t exhaustive_writes_max = 10;  // so many pending writes: every subset
  std::size_t random_subsets = 64;         // of more
  std::size_t torn_max = 64;               // states with one torn write
};

// Every subset of a few writes. Of many: every prefix, all but one, only one, and random subsets. And each write torn
// behind its first unit, before its last, at half, and at 4 KiB, on top of all others, of those before it, and of none.
std::vector<CrashState> crash_states(const std::vector<device::PendingWrite>& pending, u64 unit_bytes,
                                     const CrashLimits& limits, Random& random);

device::Image image_of(const device::SimDevice& device, const CrashState& state);

// "3 writes: 512..1024 of 4096 at block 129, all of ..." for people.
std::string to_text(const CrashState& state, const std::vector<device::PendingWrite>& pending, u64 unit_bytes);

}  // namespace cowfs::sim
