// Results as text for a terminal. Pure functions, except style_of().
#pragma once
#include <cstdio>
#include <string>

#include "dashboards/table.h"
#include "results/record.h"

namespace cowbench::dashboards {

// What the environment says, by the names of its variables; nullptr where unset.
struct TerminalEnvironment {
  bool is_terminal = false;
  const char* no_color = nullptr;
  const char* term = nullptr;
  const char* lc_all = nullptr;
  const char* lc_ctype = nullptr;
  const char* lang = nullptr;
  std::size_t columns = 0, rows = 0;  // 0: unknown
};
Style choose_style(const TerminalEnvironment& environment);
// Of an open file: asks the terminal and the process environment.
Style style_of(std::FILE* file);

// The result table: one row for each target, under a line that says what was run. The last column is the throughput of
// the first subject divided by the row's target.
std::string result_table(const results::Comparison& comparison, const Style& style);
// All ratios: one row for each compared metric, one column for each pair of targets. Empty when there are none.
std::string ratio_table(const results::Comparison& comparison, const Style& style);
// Empty when no operation was counted.
std::string operation_table(const results::Comparison& comparison, const Style& style);
// Empty when there is no calibration.
std::string calibration_table(const results::Comparison& comparison, const Style& style);
// Everything: all tables of all comparisons, skipped targets, warnings and caveats.
std::string render_record(const results::Record& record, const Style& style);

}  // namespace cowbench::dashboards
