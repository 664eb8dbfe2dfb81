#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "dashboards/format.h"
#include "dashboards/html.h"
#include "dashboards/report.h"
#include "dashboards/terminal.h"
#include "rates/curve.h"

namespace cowbench::rates {
namespace {

using dashboards::datum;
using dashboards::escaped_html;
using dashboards::format_nanoseconds;
using dashboards::format_number;

std::string remark_of(const Curve& curve, std::size_t at) {
  if (!curve.points[at].kept_up) return "did not keep up";
  return curve.knee == at ? "knee" : "";
}

std::string percent(double share) { return fmt::format("{:.0f}%", 100 * share); }

std::string sentence(const Curve& curve) {
  if (!curve.knee) return fmt::format("{}: kept up with none of these rates", curve.target);
  const Point& knee = curve.points[*curve.knee];
  return fmt::format("{}: knee at {} operations a second ({} of the highest capacity), mean response {}, p99 {}", curve.target,
                     format_number(knee.offered_iops), percent(knee.share), format_nanoseconds(knee.mean_ns),
                     format_nanoseconds(knee.p99_ns));
}

// Response times over the offered rate: p99 as a line with points, p50 thin. Both logarithmic upwards only.
class Plot {
 public:
  explicit Plot(const std::vector<Curve>& curves) {
    for (const Curve& curve : curves) {
      for (const Point& point : curve.points) {
        if (point.p50_ns <= 0) continue;
        low_ns_ = std::min(low_ns_, point.p50_ns);
        high_ns_ = std::max(high_ns_, point.p99_ns);
        rate_max_ = std::max(rate_max_, point.offered_iops);
      }
    }
    low_ns_ = std::pow(10, std::floor(std::log10(low_ns_)));
    high_ns_ = std::max(std::pow(10, std::ceil(std::log10(high_ns_))), 10 * low_ns_);
  }

  std::string render(const std::vector<Curve>& curves, const std::string& what) const {
    std::string svg = fmt::format("<svg class=\"rates\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", width, height,
                                  escaped_html(what));
    for (double tick = low_ns_; tick <= high_ns_ * 1.001; tick *= 10)
      svg += fmt::format("<path class=\"grid\" d=\"M{0} {1:.1f}H{2}\"/><text class=\"tick\" x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>",
                         left, y(tick), width - right, left - 8, y(tick) + 4, format_nanoseconds(tick));
    for (double tick = 0; tick <= rate_max_; tick += step())
      svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>", x(tick), height - 8,
                         tick == 0 ? "0" : format_number(tick));
    for (std::size_t at = 0; at < curves.size(); ++at) svg += curve(curves[at], at);
    return svg + "</svg>";
  }

 private:
  static constexpr double width = 1000, height = 320, left = 84, right = 40, top = 14, bottom = 34;

  double x(double rate) const { return left + (width - left - right) * rate / rate_max_; }
  double y(double ns) const {
    const double part = std::log(ns / low_ns_) / std::log(high_ns_ / low_ns_);
    return height - bottom - (height - top - bottom) * part;
  }

  // 1, 2 or 5 times a power of ten: three to nine of them.
  double step() const {
    const double power = std::pow(10, std::floor(std::log10(rate_max_)));
    const double leading = rate_max_ / power;
    return power * (leading < 2 ? 0.2 : leading < 5 ? 0.5 : 1);
  }

  std::string line(const Curve& curve, double Point::* value, std::string_view kind) const {
    std::string path;
    for (const Point& point : curve.points) {
      if (point.*value > 0) path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', x(point.offered_iops), y(point.*value));
    }
    return fmt::format("<path class=\"{}\" d=\"{}\"/>", kind, path);
  }

  std::string curve(const Curve& curve, std::size_t number) const {
    std::string svg = fmt::format("<g style=\"color:var(--series-{})\">", number % 6);
    svg += line(curve, &Point::p50_ns, "p50") + line(curve, &Point::p99_ns, "p99");
    for (std::size_t at = 0; at < curve.points.size(); ++at) {
      const Point& point = curve.points[at];
      if (point.p99_ns > 0)
        svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>", x(point.offered_iops), y(point.p99_ns), curve.knee == at ? 6 : 3);
    }
    return svg + "</g>";
  }

  double low_ns_ = 1e12, high_ns_ = 1, rate_max_ = 1;
};

std::string legend(const std::vector<Curve>& curves) {
  std::string html = "<p class=\"legend\">";
  for (std::size_t at = 0; at < curves.size(); ++at)
    html += fmt::format("<span style=\"color:var(--series-{})\">■</span> {} ", at % 6, escaped_html(curves[at].target));
  return html + "· p99 with points, the knee larger; p50 thin; operations offered a second to the right</p>\n";
}

std::string table_of(const std::vector<Curve>& curves) {
  using Kind = dashboards::HtmlTable::Kind;
  dashboards::HtmlTable table("rates", "Response times, from when an operation was due");
  table.add_column("Target");
  table.add_column("Offered", Kind::number, "of the highest capacity");
  table.add_column("Offered", Kind::number, "a second");
  table.add_column("Done", Kind::number, "a second");
  for (const char* title : {"Mean", "p50", "p99", "p99.9"}) table.add_column(title, Kind::number);
  table.add_column("Remark");
  for (const Curve& curve : curves) {
    for (std::size_t at = 0; at < curve.points.size(); ++at) {
      const Point& point = curve.points[at];
      const auto time = [](double ns) { return datum(ns, format_nanoseconds(ns)); };
      table.add_row({escaped_html(curve.target), datum(point.share, percent(point.share)),
                     datum(point.offered_iops, format_number(point.offered_iops)),
                     datum(point.achieved_iops, format_number(point.achieved_iops)), time(point.mean_ns), time(point.p50_ns),
                     time(point.p99_ns), time(point.p999_ns), remark_of(curve, at)});
    }
  }
  return table.empty() ? "" : table.render();
}

}  // namespace

std::string to_text(const std::vector<Curve>& curves, const dashboards::Style& style) {
  dashboards::Table table;
  using Align = dashboards::Table::Align;
  table.add_column("target", Align::left);
  for (const char* title : {"offered", "ops/s", "done/s", "mean", "p50", "p99", "p99.9"}) table.add_column(title, Align::right);
  table.add_column("", Align::left);
  for (const Curve& curve : curves) {
    for (std::size_t at = 0; at < curve.points.size(); ++at) {
      const Point& point = curve.points[at];
      table.add_row({curve.target, percent(point.share), format_number(point.offered_iops), format_number(point.achieved_iops),
                     format_nanoseconds(point.mean_ns), format_nanoseconds(point.p50_ns), format_nanoseconds(point.p99_ns),
                     format_nanoseconds(point.p999_ns), remark_of(curve, at)});
    }
  }
  std::string text;
  for (const Curve& curve : curves)
    text += fmt::format("{}: {} operations a second as fast as it goes\n", curve.target, format_number(curve.capacity_iops));
  if (table.empty()) return text;
  text += "response times, from when an operation was due\n" + table.render(style);
  for (const Curve& curve : curves) text += sentence(curve) + "\n";
  return text;
}

std::string to_html(const std::vector<Curve>& curves, const results::Record& record) {
  std::string html = "<div class=\"introduction\">";
  std::string what;
  for (const Curve& curve : curves) {
    what += sentence(curve) + ". ";
    html += "<p>" + escaped_html(sentence(curve)) + ".</p>\n";
  }
  if (!curves.empty() && !curves.front().points.empty())
    html += "<figure class=\"history-figure\">" + Plot(curves).render(curves, what) + "</figure>\n" + legend(curves) + table_of(curves);
  return dashboards::render_report(record, "", html + "</div>\n");
}

std::string to_json(const std::vector<Curve>& curves, const results::Record& record) {
  using Json = nlohmann::ordered_json;
  Json json = {{"schema", "cowbench.rate/1"}, {"curves", Json::array()}};
  for (const Curve& curve : curves) {
    Json entry = {{"target", curve.target}, {"capacity_iops", curve.capacity_iops},
                  {"knee", curve.knee ? Json(*curve.knee) : Json(nullptr)}, {"points", Json::array()}};
    for (const Point& point : curve.points)
      entry["points"].push_back({{"share", point.share}, {"offered_iops", point.offered_iops}, {"achieved_iops", point.achieved_iops},
                                 {"kept_up", point.kept_up}, {"response_mean_ns", point.mean_ns}, {"response_p50_ns", point.p50_ns},
                                 {"response_p99_ns", point.p99_ns}, {"response_p999_ns", point.p999_ns}});
    json["curves"].push_back(std::move(entry));
  }
  json["record"] = Json::parse(results::to_json(record));
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cowbench::rates
