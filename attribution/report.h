// An attribution for people and for programs. Pure functions.
#pragma once
#include <string>

#include "attribution/attribute.h"
#include "dashboards/table.h"

namespace cowbench::attribution {

// In one sentence: what moved most.
std::string summary(const Attribution& attribution);

std::string to_text(const Attribution& attribution, const dashboards::Style& style);

// Schema "cowbench.attribution/1"; docs/tracking.md explains it.
std::string to_json(const Attribution& attribution);

// One page with both tables and the flame graph; asks nothing of any network.
std::string to_html(const Attribution& attribution);

}  // namespace cowbench::attribution
