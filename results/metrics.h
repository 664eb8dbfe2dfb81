// What a round is measured by: one table of names, units and which way is better.
#pragma once
#include <span>
#include <string_view>

#include "results/statistics.h"

namespace cowbench::results {

struct MetricDescription {
  std::string_view name;   // as in the record; ends in its unit
  std::string_view title;  // as in tables
  std::string_view unit;   // of the stored number
  Direction direction;
  bool compared;  // a ratio between targets is computed
};

// In the order of tables.
std::span<const MetricDescription> metric_table();
// nullptr when there is none of that name.
const MetricDescription* find_metric(std::string_view name);

}  // namespace cowbench::results
