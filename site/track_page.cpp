#include "site/track_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "dashboards/format.h"
#include "results/metrics.h"
#include "results/statistics.h"
#include "site/drawing.h"
#include "site/frame_internal.h"

namespace cowbench::site {
namespace {

using dashboards::datum;
using dashboards::escaped_html;
using dashboards::HtmlTable;
using tracking::CommitState;
using tracking::TrackedCommit;
using tracking::TrackedEvent;
using tracking::TrackedSeries;
using tracking::TrackReport;

std::string place(const TrackReport& report, std::size_t commit) { return short_commit(report.commits[commit].commit.sha, false); }

std::string title_of(const std::string& metric) {
  const results::MetricDescription* known = results::find_metric(metric);
  return std::string(known == nullptr ? std::string_view(metric) : known->title);
}

std::string title_of(const TrackedSeries& series) { return title_of(series.metric.name); }

std::string shown(const TrackedSeries& series, double value) {
  if (!series.exact) return dashboards::format_factor(value);
  const results::MetricDescription* metric = results::find_metric(series.metric.name);
  return metric == nullptr ? dashboards::format_number(value) : dashboards::format_in_unit(value, metric->unit);
}

// Of an exact metric its value, of others the ratio to the control; absent where neither was measured.
std::optional<double> value_of(const TrackedSeries& series, const TrackedCommit& commit) {
  const auto subject = commit.session.subject.find(series.metric.name);
  if (subject == commit.session.subject.end()) return std::nullopt;
  if (series.exact) return subject->second.front();
  const double ratio = std::exp(log_ratio(commit, series.metric.name));
  return std::isfinite(ratio) ? std::optional(ratio) : std::nullopt;
}

std::string change_text(const TrackedSeries& series, const TrackedEvent& event) {
  if (!event.before) return percent_change(event.event.effect);
  return shown(series, *event.before) + " → " + shown(series, *event.after);
}

std::string_view standing(const TrackedEvent& event) {
  if (event.event.state == history::EventState::fixed) return "fixed since";
  return event.worse ? "worse" : "better";
}

std::string change_table(const TrackReport& report) {
  HtmlTable table("changes", "What changed");
  table.add_column("Metric");
  table.add_column("Commit");
  table.add_column("Subject");
  table.add_column("Change", HtmlTable::Kind::number);
  table.add_column("Suspects");
  table.add_column("Standing");
  for (const TrackedSeries& series : report.series) {
    for (const TrackedEvent& event : series.events) {
      const auto [first, last] = std::pair(event.event.first, event.event.last);
      const std::string suspects = first == last ? "this one" : place(report, first) + " to " + place(report, last);
      table.add_row({escaped_html(title_of(series)), place(report, event.event.at),
                     escaped_html(report.commits[event.event.at].commit.subject),
                     datum(event.event.effect, change_text(series, event)), suspects, std::string(standing(event))});
    }
  }
  return table.empty() ? "" : table.render();
}

// What the controls, which commits do not change, say of the machine. Metrics of which no control says anything are left out.
std::string era_table(const TrackReport& report) {
  HtmlTable table("eras", "Where the machine changed, and what it did to the controls");
  table.add_column("Since");
  table.add_column("What changed");
  table.add_column("Metric");
  table.add_column("Control", HtmlTable::Kind::number);
  table.add_column("Reference", HtmlTable::Kind::number);
  const auto shown = [](const std::optional<double>& change) { return change ? datum(*change, percent_change(*change)) : "-"; };
  for (const tracking::Era& era : report.eras) {
    for (const tracking::ControlChange& change : era.changes) {
      if (!change.control && !change.reference) continue;
      table.add_row({place(report, era.commit), std::string(name(era.cause)), escaped_html(title_of(change.metric)), shown(change.control),
                     shown(change.reference)});
    }
  }
  return table.empty() ? "" : table.render();
}

// How the two controls stood to each other, a line a few words wide.
std::string control_line(const TrackReport& report, const TrackedSeries& series) {
  Curve curve;
  for (const TrackedCommit& commit : report.commits) {
    const double ratio = std::exp(tracking::log_ratio(commit.session.control, commit.session.reference, series.metric.name));
    if (std::isfinite(ratio)) curve.values.push_back(ratio);
  }
  if (series.exact || curve.values.empty()) return "";
  return fmt::format("<p>Control ÷ reference, at last {}:</p>\n{}\n",
                     datum(curve.values.back(), dashboards::format_factor(curve.values.back())), sparkline(curve));
}

std::string sentence(const TrackReport& report, const TrackedSeries& series, std::size_t values) {
  std::string text = fmt::format("{} at {}{}", title_of(series), counted(values, "commit"),
                                 series.exact ? ", exact" : ", relative to the control");
  if (series.events.empty()) return text + ". No commit changed it.";
  text += '.';
  for (const TrackedEvent& event : series.events)
    text += fmt::format(" {} since {}.", percent_change(event.event.effect), place(report, event.event.at));
  return text;
}

// Where there are more metrics than this, those that held their level are drawn small, and stand in no table of all commits:
// so the page of forty metrics at five hundred commits can still be mailed.
constexpr std::size_t metrics_in_full_max = 10;

bool is_in_full(const TrackReport& report, const TrackedSeries& series) {
  return report.series.size() <= metrics_in_full_max || !series.events.empty();
}

Curve curve_of(const TrackReport& report, const TrackedSeries& series) {
  Curve curve;
  curve.shown = [&series](double value) { return shown(series, value); };
  std::map<std::size_t, std::size_t> drawn;  // by commit
  for (std::size_t commit = 0; commit < report.commits.size(); ++commit) {
    const std::optional<double> value = value_of(series, report.commits[commit]);
    if (!value) continue;
    drawn[commit] = curve.values.size();
    curve.values.push_back(*value);
  }
  // What begins at a commit that was not measured is seen at the next one that was.
  const auto from = [&](std::size_t commit) { return drawn.lower_bound(commit); };
  for (const tracking::Era& era : report.eras) {
    if (from(era.commit) != drawn.end() && from(era.commit)->second > 0) curve.eras.push_back(from(era.commit)->second);
  }
  for (const TrackedEvent& event : series.events) {
    if (from(event.event.at) == drawn.end()) continue;
    curve.changes.push_back({from(event.event.at)->second, event.worse ? "worse" : "better"});
  }
  return curve;
}

std::string figure(const TrackReport& report, const TrackedSeries& series) {
  const Curve curve = curve_of(report, series);
  if (curve.values.empty()) return "";
  const std::string what = sentence(report, series, curve.values.size());
  return fmt::format("<h2>{}</h2>\n<p>{}</p>\n<figure class=\"history-figure\">{}</figure>\n{}", escaped_html(title_of(series)),
                     escaped_html(what), history_plot(curve, what), control_line(report, series));
}

std::string steady_table(const TrackReport& report) {
  HtmlTable table("steady", "No commit changed these");
  table.add_column("Metric");
  table.add_column("Latest", HtmlTable::Kind::number);
  table.add_column("History");
  table.add_column("Commits", HtmlTable::Kind::number);
  for (const TrackedSeries& series : report.series) {
    const Curve curve = curve_of(report, series);
    if (is_in_full(report, series) || curve.values.empty()) continue;
    table.add_row({escaped_html(title_of(series)), datum(curve.values.back(), shown(series, curve.values.back())), sparkline(curve),
                   std::to_string(curve.values.size())});
  }
  return table.empty() ? "" : table.render();
}

std::string commit_table(const TrackReport& report) {
  HtmlTable table("commits", "Every commit, the newest first");
  table.add_column("Commit");
  table.add_column("Subject");
  table.add_column("Committed");
  for (const TrackedSeries& series : report.series)
    if (is_in_full(report, series)) table.add_column(title_of(series), HtmlTable::Kind::number, series.exact ? "" : "÷ control");
  table.add_column("Remark");
  for (std::size_t at = report.commits.size(); at-- > 0;) {
    const TrackedCommit& commit = report.commits[at];
    std::vector<std::string> cells{place(report, at), escaped_html(commit.commit.subject), short_time(commit.commit.committed)};
    for (const TrackedSeries& series : report.series) {
      if (!is_in_full(report, series)) continue;
      const std::optional<double> value = value_of(series, commit);
      cells.push_back(value ? datum(*value, shown(series, *value)) : "-");
    }
    std::string remark = commit.state == CommitState::measured ? "" : std::string(name(commit.state));
    if (const auto era = std::ranges::find(report.eras, at, &tracking::Era::commit); era != report.eras.end())
      remark = fmt::format("another era: {}", name(era->cause));
    cells.push_back(escaped_html(remark));
    table.add_row(std::move(cells));
  }
  return table.render();
}

}  // namespace

std::string track_page(const TrackReport& report) {
  std::size_t changes = 0;
  for (const TrackedSeries& series : report.series) changes += series.events.size();
  std::string content = fmt::format("<h1>{}</h1>\n<p class=\"lead\">{} from {} to {}: {}.</p>\n", escaped_html(report.suite),
                                    counted(report.commits.size(), "commit"), place(report, 0),
                                    place(report, report.commits.size() - 1),
                                    changes == 0 ? "no change of level" : counted(changes, "change") + " of level");
  content += change_table(report) + era_table(report);
  for (const TrackedSeries& series : report.series)
    if (is_in_full(report, series)) content += figure(report, series);
  content += steady_table(report);
  content += commit_table(report);
  dashboards::Page page;
  page.title = report.suite + ": commit by commit";
  page.content = std::move(content);
  return render_page(page);
}

}  // namespace cowbench::site
