// Numbers as people read them. The terminal shows every figure through these; dashboards/web/src/format.ts is their
// twin for the page.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "results/counted.h"
#include "results/record.h"

namespace cowbench::dashboards {

// Three significant digits and a unit: "640 ns", "1.24 ms", "12.0 s".
std::string format_nanoseconds(double ns);
// Thousands apart: "12,345"; one decimal below 100, two below 10.
std::string format_number(double value);
// Decimal megabytes without the unit: "1,234".
std::string format_megabytes(double bytes);
// As its unit asks for: "1.24 ms", "2,870 MB/s", "826 MB" for bytes, "0.143" for factors.
std::string format_in_unit(double value, std::string_view unit);
// "6.02 [5.90, 6.15] better", "1.00 (no interval) unclear", "not measured".
std::string format_ratio(const results::Ratio& ratio);
// "8.66", "0.231"; three significant digits.
std::string format_factor(double factor);
// "45 s", "3 min 05 s", "1 h 02 min".
std::string format_seconds_left(double seconds);

using results::counted;

// Columns on a terminal; counts code points, so double-width characters come out narrow.
std::size_t display_width(std::string_view text);
// Control characters would move the cursor or worse: each becomes '?'.
std::string printable(std::string_view text);

}  // namespace cowbench::dashboards
