#include "attribution/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "attribution/flame_graph.h"
#include "dashboards/format.h"
#include "dashboards/html.h"

namespace cowbench::attribution {
namespace {

using dashboards::escaped_html;
using dashboards::format_number;
using Json = nlohmann::ordered_json;

constexpr std::size_t rows_max = 40;         // of tables for people; the JSON has all
constexpr double share_min = 0.0005;  // of functions in the JSON, with what they call, on either side

std::string commit_text(const tracking::Commit& commit) { return commit.sha.substr(0, 10) + " " + commit.subject; }

std::string percent(double share) { return fmt::format("{:.2f}%", 100 * share); }

// Percentage points with their 95% interval.
std::string points(const ShareChange& change) {
  return fmt::format("{:+.2f} ± {:.2f}", 100 * change.change(), 196 * change.error);
}

std::string change_text(const CounterChange& counter) {
  if (counter.difference == 0) return "the same";
  return counter.relative() ? fmt::format("{:+.2f}%", 100 * *counter.relative())
                            : fmt::format("{:+g}", counter.difference);
}

std::string interval_text(const CounterChange& counter) {
  if (counter.exact) return "exact";
  if (!counter.ci95) return "";
  if (counter.before == 0) return fmt::format("[{:+g}, {:+g}]", counter.ci95->low, counter.ci95->high);
  const auto [low, high] = std::minmax({counter.ci95->low / counter.before, counter.ci95->high / counter.before});
  return fmt::format("[{:+.2f}, {:+.2f}]%", 100 * low, 100 * high);
}

bool has_moved(const CounterChange& counter) { return counter.moved; }
bool has_moved(const FunctionChange& function) { return function.moved(); }

std::size_t moved_count(const auto& changes) {
  return static_cast<std::size_t>(std::ranges::count_if(changes, [](const auto& change) { return has_moved(change); }));
}

std::size_t shown_count(const auto& changes) { return std::min(moved_count(changes), rows_max); }

using Rows = std::vector<std::vector<std::string>>;

Rows counter_rows(const Attribution& attribution) {
  Rows rows;
  for (std::size_t at = 0; at < shown_count(attribution.counters); ++at) {
    const CounterChange& counter = attribution.counters[at];
    rows.push_back({counter.name, format_number(counter.before), format_number(counter.after), change_text(counter),
                     interval_text(counter)});
  }
  return rows;
}

Rows function_rows(const Attribution& attribution) {
  Rows rows;
  for (std::size_t at = 0; at < shown_count(attribution.functions); ++at) {
    const FunctionChange& function = attribution.functions[at];
    rows.push_back({function.name, percent(function.self.before), percent(function.self.after), points(function.self),
                    percent(function.total.before), percent(function.total.after), points(function.total)});
  }
  return rows;
}

constexpr std::array counter_titles{"counter", "before", "after", "change", "95%"};
constexpr std::array function_titles{"function",   "itself before", "after", "points (95%)", "with what it calls before",
                                     "after", "points (95%)"};

std::string text_table(const auto& titles, const Rows& rows, const dashboards::Style& style) {
  dashboards::Table table;
  using Align = dashboards::Table::Align;
  for (const char* title : titles) table.add_column(title, title == titles.front() ? Align::left : Align::right);
  for (const auto& row : rows) table.add_row(row);
  return table.render(style);
}

std::string html_table(std::string_view name, std::string_view caption, const auto& titles, const Rows& rows) {
  if (rows.empty()) return fmt::format("<p>{}.</p>\n", escaped_html(caption));
  dashboards::HtmlTable table(name, caption);
  using Kind = dashboards::HtmlTable::Kind;
  for (const char* title : titles) table.add_column(title, title == titles.front() ? Kind::text : Kind::number);
  for (const auto& row : rows) {
    std::vector<std::string> cells;
    for (const std::string& cell : row) cells.push_back(escaped_html(cell));
    table.add_row(std::move(cells));
  }
  return table.render();
}

std::string counters_caption(const Attribution& attribution) {
  return fmt::format("{} of {} counters moved, {} of runs", moved_count(attribution.counters),
                     attribution.counters.size(), dashboards::counted(attribution.pairs, "pair"));
}

std::string functions_caption(const Attribution& attribution) {
  return fmt::format("{} of {} functions take another share of the processor's time, {} and {} samples of {} each",
                     moved_count(attribution.functions), attribution.functions.size(), attribution.profile_before.samples,
                     attribution.profile_after.samples, dashboards::counted(attribution.profiles, "run"));
}

std::string flame_figure(const Attribution& attribution) {
  const std::string drawn = flame_graph(attribution.profile_before, attribution.profile_after);
  if (drawn.empty()) return "";
  return "<figure class=\"drawing\" tabindex=\"0\"><figcaption>Where the time goes: a box stands on what called it, as wide as "
         "the mean of its shares before and after; <span class=\"worse\">red has more after</span>, <span class=\"better\">green "
         "less</span>. Point at a box for its figures.</figcaption>" +
         drawn + "</figure>\n";
}

Json counter_json(const CounterChange& counter) {
  return {{"name", counter.name}, {"before", counter.before}, {"after", counter.after},
          {"difference", counter.difference},
          {"ci95", counter.ci95 ? Json::array({counter.ci95->low, counter.ci95->high}) : Json(nullptr)},
          {"relative", counter.relative() ? Json(*counter.relative()) : Json(nullptr)},
          {"exact", counter.exact}, {"moved", counter.moved}};
}

Json share_json(const ShareChange& change) {
  return {{"before", change.before}, {"after", change.after}, {"error", change.error}, {"moved", change.moved}};
}

Json function_json(const FunctionChange& function) {
  return {{"name", function.name}, {"self", share_json(function.self)}, {"total", share_json(function.total)}};
}

// With the most that a share of a half may have moved unseen.
std::string no_function_moved(const Attribution& attribution) {
  const double before = static_cast<double>(attribution.profile_before.samples);
  const double after = static_cast<double>(attribution.profile_after.samples);
  if (before == 0 || after == 0) return " No sample says where the time goes.";
  return fmt::format(" No function is seen to take another share of the time; {:.0f} and {:.0f} samples may hide a change of {:.2g} points.",
                     before, after, 196 * std::sqrt(0.25 / before + 0.25 / after));
}

}  // namespace

std::string summary(const Attribution& attribution) {
  if (attribution.same_build) return "Both commits have the same build: nothing can differ.";
  std::string text;
  if (moved_count(attribution.counters) > 0) {
    const CounterChange& most = attribution.counters.front();
    text = fmt::format("{} went from {} to {} ({}).", most.name, format_number(most.before), format_number(most.after),
                       change_text(most));
  } else {
    text = "No counter moved.";
  }
  if (attribution.profiles == 0) return text;
  if (moved_count(attribution.functions) == 0) return text + no_function_moved(attribution);
  const FunctionChange& most = attribution.functions.front();
  return text + fmt::format(" {} takes {} of the time instead of {}.", most.name, percent(most.total.after),
                            percent(most.total.before));
}

std::string to_text(const Attribution& attribution, const dashboards::Style& style) {
  std::string text = fmt::format("before: {}\nafter:  {}\n{}\n", commit_text(attribution.before),
                                 commit_text(attribution.after), summary(attribution));
  if (attribution.same_build) return text;
  text += fmt::format("\n{}\n", counters_caption(attribution));
  if (const auto rows = counter_rows(attribution); !rows.empty()) text += text_table(counter_titles, rows, style);
  if (attribution.profiles > 0) text += fmt::format("\n{}\n", functions_caption(attribution));
  if (const auto rows = function_rows(attribution); !rows.empty()) text += text_table(function_titles, rows, style);
  for (const std::string& warning : attribution.warnings) text += warning + "\n";
  return text;
}

std::string to_json(const Attribution& attribution) {
  const auto commit_json = [](const tracking::Commit& commit) {
    return Json{{"sha", commit.sha}, {"subject", commit.subject}, {"committed", commit.committed}};
  };
  Json json = {{"schema", "cowbench.attribution/1"}, {"suite", attribution.suite},
               {"before", commit_json(attribution.before)}, {"after", commit_json(attribution.after)},
               {"same_build", attribution.same_build}, {"summary", summary(attribution)},
               {"pairs", attribution.pairs}, {"profiles", attribution.profiles},
               {"samples_before", attribution.profile_before.samples},
               {"samples_after", attribution.profile_after.samples}, {"warnings", attribution.warnings},
               {"counters", Json::array()}, {"functions", Json::array()}};
  for (const CounterChange& counter : attribution.counters) json["counters"].push_back(counter_json(counter));
  for (const FunctionChange& function : attribution.functions)
    if (function.moved() || std::max(function.total.before, function.total.after) >= share_min)
      json["functions"].push_back(function_json(function));
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_html(const Attribution& attribution) {
  std::string html = fmt::format("<h1>{}: what one change moved</h1>\n<p class=\"lead\">{}</p>\n<ul><li>before: {}</li><li>after: {}</li>",
                                 escaped_html(attribution.suite), escaped_html(summary(attribution)),
                                 escaped_html(commit_text(attribution.before)), escaped_html(commit_text(attribution.after)));
  for (const std::string& warning : attribution.warnings) html += "<li>" + escaped_html(warning) + "</li>";
  html += "</ul>\n";
  if (!attribution.same_build) {
    html += html_table("counters", counters_caption(attribution), counter_titles, counter_rows(attribution));
    if (attribution.profiles > 0)
      html += html_table("functions", functions_caption(attribution), function_titles, function_rows(attribution));
    html += flame_figure(attribution);
  }
  dashboards::Page page;
  page.title = attribution.suite + ": what one change moved";
  page.content = std::move(html);
  return render_page(page);
}

}  // namespace cowbench::attribution
