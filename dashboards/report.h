// The report: one HTML file that holds the record, draws it, and asks nothing of any network.
#pragma once
#include <string>

#include "results/record.h"

namespace cowbench::dashboards {

// Without scripts it shows the terminal's tables. Nothing in the record can become markup. `header`: HTML above it.
std::string render_report(const results::Record& record, const std::string& header = "");

}  // namespace cowbench::dashboards
