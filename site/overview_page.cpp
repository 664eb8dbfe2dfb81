#include <fmt/format.h>

#include <algorithm>

#include "site/drawing.h"
#include "site/frame_internal.h"
#include "site/pages.h"

namespace cowbench::site {
namespace {

using dashboards::escaped_html;
using dashboards::HtmlTable;

std::string series_link(const SeriesView& series) {
  std::string text = dashboards::link("/series/" + series.id, series.history.key.target + ": " + series.title());
  if (!series.control.empty()) text += "<small>relative to " + escaped_html(series.control) + "</small>";
  return text;
}

std::string latest(const SeriesView& series) {
  return dashboards::datum(series.medians.back(), series.shown(series.medians.back()));
}

std::string change_text(const SeriesView& series) {
  const std::string text = percent_change(series.change->effect);
  const std::string_view sign = series.change->effect > 0 ? "▲" : "▼";
  return marked(series.standing == Standing::changed ? "unclear" : name(series.standing), sign, text);
}

std::string since(const SeriesView& series) {
  const auto& points = series.history.points;
  const store::SeriesPoint &first = points[series.change->at], &before = points[series.change->at - 1];
  const std::string place =
      first.commit.empty() ? short_time(first.started) : short_commit(first.commit, first.dirty);
  return compare_link(before.run, first.run, place) + "<small>" + short_time(first.started) + "</small>";
}

std::string changed_table(std::string_view title, std::span<const SeriesView> all, Standing standing) {
  HtmlTable table(name(standing), title);
  table.add_column("Series");
  table.add_column("Change", HtmlTable::Kind::number);
  table.add_column("Since", HtmlTable::Kind::text, "compare with the run before");
  table.add_column("Latest", HtmlTable::Kind::number);
  table.add_column("History");
  table.add_column("Load");
  table.add_column("Runs", HtmlTable::Kind::number);
  for (const SeriesView& series : all) {
    if (series.standing != standing) continue;
    table.add_row({series_link(series), change_text(series), since(series), latest(series), sparkline(curve_of(series)),
                   escaped_html(series.load()), std::to_string(series.history.points.size())});
  }
  return table.empty() ? "" : table.render();
}

// Series whose level holds, one table a load, in the order of metrics.
std::string quiet_tables(std::span<const SeriesView> all) {
  std::vector<std::pair<std::string, std::vector<const SeriesView*>>> loads;
  for (const SeriesView& series : all) {
    if (series.standing != Standing::steady && series.standing != Standing::short_history) continue;
    auto load = std::ranges::find(loads, series.load(), [](const auto& entry) { return entry.first; });
    if (load == loads.end()) load = loads.insert(loads.end(), {series.load(), {}});
    load->second.push_back(&series);
  }
  std::string html;
  for (auto& [load, members] : loads) {
    std::ranges::stable_sort(members, [](const SeriesView* a, const SeriesView* b) {
      const auto order = [](const SeriesView* series) {
        return series->metric == nullptr ? results::metric_table().data() + results::metric_table().size() : series->metric;
      };
      return order(a) < order(b);
    });
    HtmlTable table(fmt::format("quiet-{}", &load - &loads.front().first), load);
    table.add_column("Series");
    table.add_column("Latest", HtmlTable::Kind::number);
    table.add_column("History");
    table.add_column("Runs", HtmlTable::Kind::number, fmt::format("{} tell of changes", history_min));
    for (const SeriesView* series : members)
      table.add_row({series_link(*series), latest(*series), sparkline(curve_of(*series)),
                     std::to_string(series->history.points.size())});
    html += table.render();
  }
  return html.empty() ? "" : "<h2>No change seen</h2>\n" + html;
}

std::string summary(std::span<const SeriesView> all) {
  const auto count = [&](Standing standing) {
    return static_cast<std::size_t>(std::ranges::count(all, standing, &SeriesView::standing));
  };
  std::string text = fmt::format("Of {}, {} got worse and {} better", counted(all.size(), "series"),
                                 count(Standing::worse), count(Standing::better));
  if (count(Standing::changed) > 0) text += fmt::format(", {} changed", count(Standing::changed));
  text += fmt::format("; {} held their level. ", count(Standing::steady));
  if (count(Standing::short_history) > 0)
    text += fmt::format("{} have fewer than {} runs on this machine: too few to tell. ", count(Standing::short_history),
                        history_min);
  return "<p class=\"lead\">" + text + "Changes are candidates, until runs side by side confirm them.</p>\n";
}

}  // namespace

std::string overview_page(std::span<const SeriesView> series) {
  std::string content = "<h1>Overview</h1>\n";
  if (series.empty()) {
    content += "<p class=\"lead\">The store holds no series yet: <code>cowbench dbench --db</code> adds a run.</p>\n";
  } else {
    content += summary(series);
    content += changed_table("Got worse", series, Standing::worse);
    content += changed_table("Changed, which way is better is not known", series, Standing::changed);
    content += changed_table("Got better", series, Standing::better);
    content += quiet_tables(series);
  }
  return render_site_page({"Overview", "/", content, ""});
}

}  // namespace cowbench::site
