// Tries every power cut of a workload: at each moment before something becomes durable, every state that the device may
// be left in is checked, recovered, compared with what the caller says is legal, and now and then recovered again from
// every state that a power cut during its recovery may leave.
//
// Images share memory with the device that they come from, and a state that was recovered before is only judged again:
// most states repeat.
#pragma once
#include <functional>
#include <memory>
#include <unordered_map>

#include "engine/sim/crash_state.h"
#include "engine/sim/simulated_filesystem.h"
#include "engine/sim/tree_walk.h"

namespace cowfs::sim {

struct ExplorerSettings {
  u64 seed = 1;
  CrashLimits limits = {};
  u64 deeper_one_in = 64;  // recovered states whose own power cuts are tried
  std::size_t remembered_max = 50'000;
};

struct ExplorerCounts {
  u64 moments = 0;
  u64 states = 0;    // tried and judged
  u64 distinct = 0;  // of them, recovered
  u64 deeper = 0;    // of power cuts during or after a recovery, besides
};

class Explorer {
 public:
  // Holds what was found after recovery to what is legal at this moment.
  using Judge = std::function<void(const TreeFound& found, std::vector<std::string>& problems)>;

  explicit Explorer(const ExplorerSettings& settings) : settings_(settings), random_(settings.seed) {}

  // Tries the power cuts of this moment. `unit_bytes` is the device's.
  void explore(const device::SimDevice& device, u64 unit_bytes, const Judge& judge);
  // From here on, at each moment before something becomes durable.
  void watch(device::SimDevice& device, u64 unit_bytes, Judge judge);

  const ExplorerCounts& counts() const { return counts_; }
  // The first problems, each with the power cut that leads to it. Nothing is explored after the first.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  struct Examined {
    TreeFound found;
    std::vector<std::string> problems;
  };
  const Examined& examine(const device::Image& image);
  void examine_power_cuts(SimulatedFilesystem& recovered, Examined& examined);
  static void look(SimulatedFilesystem& filesystem, Examined& examined);

  const ExplorerSettings settings_;
  Random random_;
  ExplorerCounts counts_;
  std::unordered_map<u64, std::unique_ptr<Examined>> known_;  // by hash of the image
  std::vector<std::string> problems_;
};

// How a crash image is mounted to be looked at: little of everything.
MountSettings examination_settings(u64 seed);

}  // namespace cowfs::sim
