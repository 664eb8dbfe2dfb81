// Where the machine that measured the commits became another one, and what the controls, which commits do not change, say of
// it: when both moved alike the machine is faster or slower, when one did it is something that only that one uses.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "tracking/measurements.h"

namespace cowbench::tracking {

// New level / old level - 1; absent where there is no such control, or it does not print the metric.
struct ControlChange {
  std::string metric;
  std::optional<double> control, reference;
};

struct Era {
  enum class Cause {
    fingerprint,  // another machine or kernel
    controls,     // the controls moved apart, or an exact value of the frozen build changed
  };
  std::size_t commit;  // the first of it
  Cause cause;
  std::vector<ControlChange> changes;  // since the era before, of every metric
};
std::string_view name(Era::Cause cause);

// Those after the first. `sessions`: one for each commit, in their order; null where it was not measured.
std::vector<Era> find_eras(const std::vector<const Session*>& sessions, const Suite& suite);

// Whether the frozen build, too, printed another value: then a difference of an exact metric is not the commit's.
bool frozen_build_changed(const Session& before, const Session& after, const std::string& metric);

}  // namespace cowbench::tracking
