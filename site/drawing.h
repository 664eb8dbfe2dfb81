// Drawings as SVG, for readers with and without scripts. What they show is also in a table, so they are hidden from
// screen readers or have a sentence.
#pragma once
#include <string>

#include "results/versus.h"
#include "site/view.h"

namespace cowbench::site {

// What is drawn of a series: the ratio to its control, or its medians.
std::vector<double> drawn_values(const SeriesView& series);

// A line a few words wide: eras apart, changes of level as dots.
std::string sparkline(const SeriesView& series);

// Every value in the order of runs, with changes and eras. `sentence`: what it shows.
std::string history_plot(const SeriesView& series, const std::string& sentence);

// Intervals of several ratios on one logarithmic axis: a row each, for cells of a table.
class RatioScale {
 public:
  explicit RatioScale(const std::vector<results::Finding>& findings);
  // Empty when nothing was estimated.
  std::string row(const results::Ratio& ratio) const;
  // "0.50 to 2.00"
  std::string range() const;

 private:
  double x(double ratio) const;
  double low_ = 0.8, high_ = 1.25;
};

}  // namespace cowbench::site
