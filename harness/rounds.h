// The order in which targets are measured, and when there is enough. Every round measures each target once, next to
// each other in time, so that drift of the machine falls on all of them; the order within rounds is balanced, so that
// being first or coming after a heavy neighbour is nobody's privilege.
#pragma once
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/types.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u32;
using cowfs::u64;

// How many rounds make a block within which each target stands in each place equally often: 2 for two targets (ABBA or
// BAAB), k for an even number of targets, 2k for an odd one (then each also follows each other one equally often).
u32 rounds_in_block(u32 targets);

// The order of targets (0 to targets - 1) in round number `round`, from 0. Pure: the same for the same seed, whatever
// was asked before. Precondition: targets > 0.
std::vector<u32> order_of_round(u32 targets, u32 round, u64 seed);

struct StopRule {
  std::optional<u32> rounds;       // exactly so many; the rest then has no say
  u32 rounds_min = 6;              // fewer hold no 95% interval
  u32 rounds_max = 40;
  double half_width_target = 0.02; // of the 95% interval of the log-ratio, target against baseline: about 2%
  double budget_seconds = 600;     // a round that would probably end later is not begun
};

enum class StopReason { fixed_rounds, narrow, budget, rounds_max };
std::string_view to_text(StopReason reason);

// Measures, and knows the time; an interface, so that the rules can be tried without a clock.
class RoundExecutor {
 public:
  virtual ~RoundExecutor() = default;
  // One measurement, complete with preparation and finish. The value is what the stop rule looks at (throughput).
  virtual Outcome<double> run(u32 target, u32 round) = 0;
  virtual double elapsed_seconds() = 0;
};

struct RoundsRequest {
  u32 targets = 1;
  u32 baseline = 0;  // the target that the others are compared with
  u64 seed = 0;
  StopRule stop;
  // Told before each measurement: what is done, and how many there will be at least. May be empty.
  std::function<void(u32 target, u32 round, u32 measurements_done, u32 measurements_expected)> progress;
};

struct RoundsReport {
  std::vector<std::vector<u32>> orders;      // one for each round
  std::vector<std::vector<double>> values;   // values[target][round]
  StopReason reason = StopReason::fixed_rounds;
};

// Half of the width of the 95% interval of log(values / baseline); nothing while there are too few rounds for one.
std::optional<double> log_ratio_half_width(const std::vector<double>& values, const std::vector<double>& baseline);

// Failures: request: no target, or no round; the executor's, as they are.
Outcome<RoundsReport> run_rounds(const RoundsRequest& request, RoundExecutor& executor);

}  // namespace cowbench::harness
