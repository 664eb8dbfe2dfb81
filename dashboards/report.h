// The report: one HTML file that holds the record, draws it, and asks nothing of any network.
#pragma once
#include <string>

#include "results/record.h"

namespace cowbench::dashboards {

// Without scripts it shows the terminal's tables. Nothing in the record can become markup. `header`: HTML above the page's content;
// `introduction`: HTML at its beginning.
std::string render_report(const results::Record& record, const std::string& header = "",
                          const std::string& introduction = "");

}  // namespace cowbench::dashboards
