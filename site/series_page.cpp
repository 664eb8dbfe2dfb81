#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "dashboards/format.h"
#include "results/statistics.h"
#include "site/documents.h"
#include "site/drawing.h"
#include "site/frame_internal.h"
#include "site/pages.h"

namespace cowbench::site {
namespace {

using dashboards::datum;
using dashboards::escaped_html;
using dashboards::HtmlTable;

std::string place(const store::SeriesPoint& point) {
  return point.commit.empty() ? short_time(point.started) : short_commit(point.commit, point.dirty);
}

std::string sentence(const SeriesView& series) {
  const auto& history = series.history;
  std::string text = fmt::format("{} of {} in {}", series.title(), history.key.target, counted(history.points.size(), "run"));
  if (!series.control.empty()) text += fmt::format(", relative to {} in the same run", series.control);
  if (!history.eras.empty()) text += fmt::format("; {} of machine or kernel", counted(history.eras.size(), "change"));
  if (history.changes.empty()) return text + ". No change of level was seen.";
  text += '.';
  for (const history::ChangePoint& change : history.changes)
    text += fmt::format(" {} since {}.", percent_change(change.effect), place(history.points[change.at]));
  return text;
}

std::string control_form(const SeriesView& series, const std::vector<store::SeriesKey>& keys) {
  const std::vector<std::string> controls = controls_of(keys, series.history.key);
  if (controls.empty()) return "";
  std::string html =
      "<form class=\"control\" method=\"get\"><label for=\"control\">Relative to </label><select id=\"control\" "
      "name=\"control\"><option value=\"\">nothing: the values themselves</option>";
  for (const std::string& control : controls)
    html += fmt::format("<option value=\"{0}\"{1}>{0}</option>", escaped_html(control),
                        control == series.control ? " selected" : "");
  return html + "</select> <button>Show</button></form>\n";
}

std::string change_table(const SeriesView& series) {
  HtmlTable table("changes", "Changes of level: candidates, until runs side by side confirm them");
  table.add_column("First with it");
  table.add_column("Last without");
  table.add_column("Change", HtmlTable::Kind::number);
  table.add_column("p", HtmlTable::Kind::number, "by chance");
  table.add_column("Side by side");
  const auto& points = series.history.points;
  for (const history::ChangePoint& change : series.history.changes) {
    const store::SeriesPoint &first = points[change.at], &before = points[change.at - 1];
    table.add_row({escaped_html(place(first)) + "<small>" + short_time(first.started) + "</small>",
                   escaped_html(place(before)), datum(change.effect, percent_change(change.effect)),
                   datum(change.p, fmt::format("{:.1g}", change.p)), compare_link(before.run, first.run, "compare")});
  }
  return table.empty() ? "" : table.render();
}

std::string value_table(const SeriesView& series) {
  const auto& history = series.history;
  HtmlTable table("values", "Every run, the newest first");
  table.add_column("Run");
  table.add_column("Started", HtmlTable::Kind::text, "UTC");
  table.add_column("Commit");
  table.add_column("Median", HtmlTable::Kind::number);
  if (!series.control.empty()) table.add_column("÷ " + series.control, HtmlTable::Kind::number);
  table.add_column("Spread", HtmlTable::Kind::number, "of rounds");
  table.add_column("Rounds", HtmlTable::Kind::number);
  table.add_column("Remark");
  for (std::size_t at = history.points.size(); at-- > 0;) {
    const store::SeriesPoint& point = history.points[at];
    std::string remark;
    if (std::ranges::binary_search(history.eras, at)) {
      const bool known = history.points[at - 1].fingerprint != point.fingerprint;
      remark = known ? "first on " + dashboards::link("/hosts/" + point.fingerprint, "another machine or kernel")
                     : "the control and the reference moved apart";
    }
    for (const history::ChangePoint& change : history.changes)
      if (change.at == at) remark = "level " + percent_change(change.effect);
    std::vector<std::string> cells{run_link(point.run), short_time(point.started),
                                   escaped_html(short_commit(point.commit, point.dirty)),
                                   datum(series.medians[at], series.shown(series.medians[at]))};
    if (!series.control.empty()) {
      const double ratio = std::exp(history.logs[at]);
      cells.push_back(datum(ratio, dashboards::format_factor(ratio)));
    }
    cells.push_back(fmt::format("{:.1f}%", 100 * results::relative_spread(point.values)));
    cells.push_back(std::to_string(point.values.size()));
    cells.push_back(remark);
    table.add_row(std::move(cells));
  }
  return table.render();
}

std::string siblings(const SeriesView& series, const std::vector<store::SeriesKey>& keys) {
  std::string html;
  for (const store::SeriesKey& key : keys) {
    store::SeriesKey other = key;
    other.metric = series.history.key.metric;
    if (other != series.history.key || key == other) continue;
    const results::MetricDescription* metric = results::find_metric(key.metric);
    html += "<li>" + dashboards::link("/series/" + id_of(key), metric == nullptr ? key.metric : metric->title) + "</li>";
  }
  return html.empty() ? "" : "<nav aria-label=\"Other metrics\"><h2>Other metrics of it</h2><ul>" + html + "</ul></nav>\n";
}

}  // namespace

std::string series_page(const SeriesView& series, const std::vector<store::SeriesKey>& keys) {
  const store::SeriesKey& key = series.history.key;
  std::string title = key.target + ": " + series.title();
  std::string content = fmt::format("<h1>{}</h1>\n<p class=\"muted\">{}{}</p>\n", escaped_html(title),
                                    escaped_html(series.load()),
                                    key.integrity.empty() ? "" : " · " + escaped_html(key.integrity));
  content += control_form(series, keys);
  if (series.history.points.empty()) {
    content += "<p class=\"lead\">No complete run holds this series, or none that its control ran in.</p>\n";
    return render_site_page({title, "/", content + siblings(series, keys), ""});
  }
  const std::string what = sentence(series);
  content += "<p class=\"lead\">" + escaped_html(what) + "</p>\n<figure class=\"history-figure\">" +
             history_plot(curve_of(series), what) + "</figure>\n";
  content += change_table(series) + value_table(series) + siblings(series, keys);
  return render_site_page({std::move(title), "/", content, series_document(series)});
}

}  // namespace cowbench::site
