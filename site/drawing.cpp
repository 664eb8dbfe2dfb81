#include "site/drawing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "dashboards/format.h"
#include "dashboards/html.h"

namespace cowbench::site {
namespace {

// Maps places and values of a series into a box.
class Frame {
 public:
  struct Box {
    double left, right, top, bottom;
  };
  Frame(const std::vector<double>& values, Box box) : box_(box), last_(std::max<std::size_t>(values.size(), 2) - 1) {
    const auto [low, high] = std::ranges::minmax(values);
    const double margin = std::max({(high - low) / 12, margin_min * std::abs(high), 1e-9});
    low_ = low - margin;
    high_ = high + margin;
  }
  double x(std::size_t at) const {
    return box_.left + (box_.right - box_.left) * static_cast<double>(at) / static_cast<double>(last_);
  }
  double y(double value) const { return box_.bottom - (box_.bottom - box_.top) * (value - low_) / (high_ - low_); }

  // At most nine round values inside, so far apart that each is `shown` as another text.
  std::vector<double> ticks(const std::function<std::string(double)>& shown) const {
    for (double power = std::pow(10, std::floor(std::log10(high_ - low_)) - 1);; power *= 10) {
      for (const double share : {1, 2, 5}) {
        const double step = share * power;
        if ((high_ - low_) / step > 9) continue;
        const std::vector<double> values = multiples(step);
        const auto is_shown_alike = [&](double a, double b) { return shown(a) == shown(b); };
        if (std::ranges::adjacent_find(values, is_shown_alike) == values.end()) return values;
      }
    }
  }

 private:
  static constexpr double margin_min = 0.02;  // of the values: what scatters by less looks flat

  std::vector<double> multiples(double step) const {
    std::vector<double> values;
    for (double tick = std::ceil(low_ / step) * step; tick <= high_; tick += step) values.push_back(tick);
    return values;
  }

  Box box_;
  std::size_t last_;
  double low_, high_;
};

// A line through all values, broken where an era begins; relative steps, so that long series stay short texts.
std::string path_of(const Curve& curve, const Frame& frame) {
  std::string path;
  long at_x = 0, at_y = 0;
  for (std::size_t at = 0; at < curve.values.size(); ++at) {
    const long to_x = std::lround(frame.x(at)), to_y = std::lround(frame.y(curve.values[at]));
    const bool starts = at == 0 || std::ranges::binary_search(curve.eras, at);
    path += fmt::format("{}{} {}", starts ? 'm' : 'l', to_x - at_x, to_y - at_y);
    at_x = to_x;
    at_y = to_y;
  }
  return path;
}

// Lines without a length, which round caps make dots.
std::string points_of(const Curve& curve, const Frame& frame) {
  std::string path;
  for (std::size_t at = 0; at < curve.values.size(); ++at)
    path += fmt::format("M{:.0f} {:.0f}h0", frame.x(at), frame.y(curve.values[at]));
  return path;
}

std::string_view class_of(const SeriesView& series, const history::ChangePoint& change) {
  if (series.metric == nullptr) return "changed";
  const bool better = (change.effect > 0) == (series.metric->direction == results::Direction::higher_is_better);
  return better ? "better" : "worse";
}

}  // namespace

Curve curve_of(const SeriesView& series) {
  Curve curve;
  curve.eras = series.history.eras;
  for (const history::ChangePoint& change : series.history.changes)
    curve.changes.push_back({change.at, class_of(series, change)});
  if (series.control.empty()) {
    curve.values = series.medians;
    curve.shown = [&series](double value) { return series.shown(value); };
  } else {
    for (const double log : series.history.logs) curve.values.push_back(std::exp(log));
    curve.shown = dashboards::format_factor;
  }
  return curve;
}

std::string sparkline(const Curve& curve) {
  const std::vector<double>& values = curve.values;
  const Frame frame(values, {3, 157, 3, 29});
  std::string svg = "<svg class=\"spark\" viewBox=\"0 0 160 32\" aria-hidden=\"true\">";
  svg += fmt::format("<path d=\"{}\"/>", path_of(curve, frame));
  for (const Curve::Change& change : curve.changes)
    svg += fmt::format("<circle class=\"{}\" cx=\"{:.0f}\" cy=\"{:.0f}\" r=\"3\"/>", change.kind, frame.x(change.at),
                       frame.y(values[change.at]));
  return svg + fmt::format("<circle class=\"last\" cx=\"{:.0f}\" cy=\"{:.0f}\" r=\"2\"/></svg>",
                           frame.x(values.size() - 1), frame.y(values.back()));
}

std::string history_plot(const Curve& curve, const std::string& sentence) {
  constexpr double width = 1000, height = 300;
  constexpr Frame::Box box{84, width - 12, 14, height - 14};
  const std::vector<double>& values = curve.values;
  const Frame frame(values, box);
  std::string svg = fmt::format("<svg class=\"history\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", width,
                                height, dashboards::escaped_html(sentence));
  for (const double tick : frame.ticks(curve.shown)) {
    svg += fmt::format("<path class=\"grid\" d=\"M{0} {1:.1f}H{2}\"/><text class=\"tick\" x=\"{3}\" y=\"{4:.1f}\" "
                       "text-anchor=\"end\">{5}</text>",
                       box.left, frame.y(tick), box.right, box.left - 8, frame.y(tick) + 4,
                       dashboards::escaped_html(curve.shown(tick)));
  }
  for (const std::size_t era : curve.eras)
    svg += fmt::format("<path class=\"era\" d=\"M{:.1f} {}V{}\"/>", (frame.x(era) + frame.x(era - 1)) / 2, box.top,
                       box.bottom);
  for (const Curve::Change& change : curve.changes)
    svg += fmt::format("<path class=\"change {0}\" d=\"M{1:.1f} {2}V{3}\"/>", change.kind, frame.x(change.at), box.top,
                       box.bottom);
  svg += fmt::format("<path class=\"line\" d=\"{}\"/>", path_of(curve, frame));
  return svg + fmt::format("<path class=\"points\" d=\"{}\"/></svg>", points_of(curve, frame));
}

RatioScale::RatioScale(const std::vector<results::Finding>& findings) {
  for (const results::Finding& finding : findings) {
    const results::Ratio& ratio = finding.ratio;
    if (!ratio.estimate) continue;
    low_ = std::min({low_, *ratio.estimate, ratio.ci95 ? ratio.ci95->low : low_});
    high_ = std::max({high_, *ratio.estimate, ratio.ci95 ? ratio.ci95->high : high_});
  }
}

double RatioScale::x(double ratio) const {
  return 8 + 224 * (std::log(ratio) - std::log(low_)) / (std::log(high_) - std::log(low_));
}

std::string RatioScale::row(const results::Ratio& ratio) const {
  if (!ratio.estimate) return "";
  const double band_low = std::max(low_, 1 / (1 + ratio.band)), band_high = std::min(high_, 1 + ratio.band);
  std::string svg = fmt::format(
      "<svg class=\"interval verdict-{}\" viewBox=\"0 0 240 20\" aria-hidden=\"true\"><rect class=\"band\" x=\"{:.1f}\" "
      "y=\"0\" width=\"{:.1f}\" height=\"20\"/><path class=\"one\" d=\"M{:.1f} 0V20\"/>",
      name(ratio.verdict), x(band_low), x(band_high) - x(band_low), x(1));
  if (ratio.ci95)
    svg += fmt::format("<path class=\"whisker\" d=\"M{0:.1f} 10H{1:.1f}M{0:.1f} 6V14M{1:.1f} 6V14\"/>", x(ratio.ci95->low),
                       x(ratio.ci95->high));
  return svg + fmt::format("<circle cx=\"{:.1f}\" cy=\"10\" r=\"4\"/></svg>", x(*ratio.estimate));
}

std::string RatioScale::range() const {
  return fmt::format("{} to {}", dashboards::format_factor(low_), dashboards::format_factor(high_));
}

}  // namespace cowbench::site
