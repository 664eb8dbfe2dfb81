// Drawings as SVG, for readers with and without scripts. What they show is also in a table, so they are hidden from
// screen readers or have a sentence.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "results/versus.h"
#include "site/view.h"

namespace cowbench::site {

// What is drawn of a history.
struct Curve {
  struct Change {
    std::size_t at;         // the first value of the new level
    std::string_view kind;  // "better", "worse", or "changed" where nobody says which way is better
  };
  std::vector<double> values;       // at least one
  std::vector<std::size_t> eras;    // the values at which the machine changed
  std::vector<Change> changes;
  std::function<std::string(double)> shown;  // a value at the axis
};
// Of a series: the ratio to its control, or its medians.
Curve curve_of(const SeriesView& series);

// A line a few words wide: eras apart, changes of level as dots.
std::string sparkline(const Curve& curve);

// Every value in its order, with changes and eras. `sentence`: what it shows.
std::string history_plot(const Curve& curve, const std::string& sentence);

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
