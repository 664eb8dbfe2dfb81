// The pages of the site: each is one whole HTML file that can be read without its script and asks nothing of any
// network. Every figure is a <data> element that holds the measured value.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "results/versus.h"
#include "site/view.h"

namespace cowbench::site {

// `series` as view_all() sorts them.
std::string overview_page(std::span<const SeriesView> series);

std::string series_page(const SeriesView& series, const std::vector<store::SeriesKey>& keys);

// Two runs that a form proposes to compare, by their ids; empty where the store has none.
struct Proposal {
  std::string a, b;
};

std::string runs_page(std::span<const store::RunSummary> runs, const Proposal& proposal);

std::string run_page(const store::RunSummary& summary, const store::StoredRun& run);

// What was asked for. A side's target is empty for all of them.
struct Comparing {
  std::string a, b, a_target, b_target;
  bool different_promises = false;
};
struct Compared {
  const store::StoredRun *a, *b;
  results::Versus versus;
};
// Without `compared`, a form that asks what to compare.
std::string compare_page(const Comparing& comparing, const std::optional<Compared>& compared,
                         std::span<const store::RunSummary> runs);

std::string hosts_page(std::span<const HostView> hosts);

// `series`: all; what they hold of other hosts is not looked at.
std::string host_page(const HostView& host, std::span<const SeriesView> series);

std::string error_page(int status, std::string_view message);

}  // namespace cowbench::site
