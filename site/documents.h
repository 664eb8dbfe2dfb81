// Documents of the API; those that the command line prints with --json, too, are the same. docs/results.md and
// docs/openapi.json explain every field.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "results/versus.h"
#include "site/view.h"

namespace cowbench::site {

// Schema "cowbench.results/1".
std::string runs_document(std::span<const store::RunSummary> runs);
// Schema "cowbench.overview/1": where each series stands, the worst first.
std::string overview_document(std::span<const SeriesView> series);
// Schema "cowbench.series/1": every value of one series.
std::string series_document(const SeriesView& series);
// Schema "cowbench.compare/1". `a`, `b`: what was asked for.
std::string compare_document(const results::Versus& versus, std::string_view a, std::string_view b, double band);
// Schema "cowbench.hosts/1".
std::string hosts_document(std::span<const HostView> hosts);
// Schema "cowbench.error/1".
std::string error_document(int status, std::string_view message);

}  // namespace cowbench::site
