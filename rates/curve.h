// How long answers take as the load grows, and where it stops being worth it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "dashboards/table.h"
#include "rates/schedule.h"
#include "results/record.h"

namespace cowbench::rates {

// Times are from when an operation was due, so that waiting behind others counts.
struct Point {
  double share = 0;         // of the capacity
  double offered_iops = 0;
  double achieved_iops = 0;
  double mean_ns = 0, p50_ns = 0, p99_ns = 0, p999_ns = 0;
  bool kept_up = false;     // at least kept_up_min of what was offered was done
};
constexpr double kept_up_min = 0.97;

struct Curve {
  std::string target;
  double capacity_iops = 0;  // as fast as it goes, with the jobs' own depth
  std::vector<Point> points;
  // Where achieved / mean response is highest: Kleinrock, Power and deterministic rules of thumb for probabilistic problems in
  // computer communications, ICC 1979. Of the points that kept up; absent when none did.
  std::optional<std::size_t> knee;
};

// The highest median of operations a second among the targets of a comparison without rates. 0: nothing was measured.
double capacity_iops(const results::Comparison& comparison);

// Of a record whose first comparison is without rates and whose others are at the shares, in their order; of fewer, where the run
// was cut short.
std::vector<Curve> curves(const results::Record& record, const std::vector<double>& shares);

std::string to_text(const std::vector<Curve>& curves, const dashboards::Style& style);
// The report page of the record with curve and table on top.
std::string to_html(const std::vector<Curve>& curves, const results::Record& record);
// Schema "cowbench.rate/1"; docs/fio.md explains it.
std::string to_json(const std::vector<Curve>& curves, const results::Record& record);

}  // namespace cowbench::rates
