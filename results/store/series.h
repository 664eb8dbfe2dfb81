// One metric of one target under one load: what may be compared over time.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::store {

using cowfs::u64;

// The media of two commits that were measured side by side: evidence about one change, not a history.
constexpr std::string_view pair_media = "pair";

// What ran beside a suite's bench: the control, to which its figures are put in relation, and where there are two controls the
// other, which tells a change of the machine.
constexpr std::string_view control_target = "control", reference_target = "reference";

struct SeriesKey {
  std::string target;
  std::string integrity;  // durability and integrity: another promise is another series
  std::string media, workload;
  u64 clients = 0;
  std::string metric;
  bool operator==(const SeriesKey&) const = default;
};

// 16 hexadecimal digits that follow from all fields.
std::string id_of(const SeriesKey& key);

// What one run contributed.
struct SeriesPoint {
  std::string run, started, commit;
  bool dirty = false;
  std::string fingerprint;     // see fingerprint_of()
  std::vector<double> values;  // one a round; rounds without a value are left out
};

}  // namespace cowbench::store
