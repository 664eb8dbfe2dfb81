#include "reproduce/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "dashboards/format.h"
#include "dashboards/html.h"
#include "dashboards/report.h"
#include "dashboards/terminal.h"
#include "results/metrics.h"

namespace cowbench::reproduce {
namespace {

using results::Comparison;
using results::TargetResult;

const TargetResult* counterpart(const Comparison& comparison, const Published& published) {
  const auto found = std::ranges::find_if(comparison.results, [&](const TargetResult& result) {
    return published.subject ? result.subject : result.target == published.target;
  });
  return found == comparison.results.end() ? nullptr : &*found;
}

Beside beside_one(const Recipe& recipe, const Scaled& scaled, const Comparison& comparison, const Published& published) {
  const TargetResult* here = counterpart(comparison, published);
  Beside row{scaled.run->name, comparison.media, published.target, here == nullptr ? "" : here->target, published.metric,
             std::string(results::find_metric(published.metric)->unit), published.value,
             published.value / recipe.cores, {}, {}, {}};
  if (here == nullptr) return row;
  if (const auto summary = here->metrics.find(published.metric); summary != here->metrics.end()) {
    row.measured = summary->second.median;
    row.measured_per_core = *row.measured / scaled.clients;
  }
  return row;
}

Beside beside_ratio(const Scaled& scaled, const Comparison& comparison, const Published& subject, const Published& other) {
  const TargetResult *ours = counterpart(comparison, subject), *theirs = counterpart(comparison, other);
  Beside row{scaled.run->name, comparison.media, subject.target + " / " + other.target, "", subject.metric, "x",
             subject.value / other.value, {}, {}, {}, {}};
  if (ours == nullptr || theirs == nullptr) return row;
  row.here = ours->target + " / " + theirs->target;
  for (const results::Ratio& ratio : comparison.ratios) {
    if (ratio.metric != subject.metric || ratio.numerator != ours->target || ratio.denominator != theirs->target) continue;
    row.measured = ratio.estimate;
    row.ci95 = ratio.ci95;
  }
  return row;
}

std::string shown(std::optional<double> value, const Beside& row) {
  return value ? dashboards::format_in_unit(*value, row.unit) : "";
}

std::string measured_text(const Beside& row) {
  if (!row.measured) return "not measured";
  if (row.published_per_core) return shown(row.measured, row);
  if (!row.ci95) return shown(row.measured, row) + " (no interval)";
  return fmt::format("{} [{}, {}]", shown(row.measured, row), dashboards::format_factor(row.ci95->low),
                     dashboards::format_factor(row.ci95->high));
}

}  // namespace

std::vector<Beside> beside(const Reproduction& reproduction, const results::Record& record) {
  std::vector<Beside> rows;
  for (std::size_t at = 0; at < record.comparisons.size(); ++at) {
    const Comparison& comparison = record.comparisons[at];
    const Scaled& scaled = reproduction.scaling->measurements[at / reproduction.media];
    // The publication's figures are of all its cores.
    if (scaled.clients_published != reproduction.recipe->cores) continue;
    const std::vector<Published>& published = scaled.run->published;
    for (const Published& one : published) rows.push_back(beside_one(*reproduction.recipe, scaled, comparison, one));
    for (const Published& subject : published)
      for (const Published& other : published)
        if (subject.subject && !other.subject && subject.metric == other.metric)
          rows.push_back(beside_ratio(scaled, comparison, subject, other));
  }
  return rows;
}

std::vector<std::string> facts(const Reproduction& reproduction) {
  const Recipe& recipe = *reproduction.recipe;
  std::vector<std::string> lines{recipe.title, "source: " + recipe.source, "there: " + recipe.machine};
  for (const Scaled& measurement : reproduction.scaling->measurements)
    lines.push_back(fmt::format("scaled: {}, {}", measurement.run->name, measurement.note));
  for (const std::string& left_out : reproduction.scaling->left_out) lines.push_back("left out: " + left_out);
  for (const std::string& unknown : recipe.unknown) lines.push_back("not published: " + unknown);
  return lines;
}

std::string to_text(const Reproduction& reproduction, const results::Record& record, const dashboards::Style& style) {
  std::string text;
  for (const std::string& line : facts(reproduction)) text += line + "\n";
  dashboards::Table table;
  using Align = dashboards::Table::Align;
  for (const char* title : {"run", "media", "there", "here"}) table.add_column(title, Align::left);
  for (const char* title : {"published", "a core", "measured", "a core"}) table.add_column(title, Align::right);
  for (const Beside& row : beside(reproduction, record))
    table.add_row({row.run, row.media, row.there, row.here, shown(row.published, row), shown(row.published_per_core, row),
                   measured_text(row), shown(row.measured_per_core, row)});
  if (!table.empty()) text += "\npublished against measured\n" + table.render(style) + "\n";
  return text + dashboards::render_record(record, style);
}

std::string to_html(const Reproduction& reproduction, const results::Record& record) {
  using dashboards::escaped_html;
  using Kind = dashboards::HtmlTable::Kind;
  dashboards::HtmlTable table("published", "Published against measured");
  for (const char* title : {"Run", "Media", "There", "Here"}) table.add_column(title);
  for (const char* title : {"Published", "a core", "Measured", "a core"}) table.add_column(title, Kind::number);
  for (const Beside& row : beside(reproduction, record))
    table.add_row({escaped_html(row.run), escaped_html(row.media), escaped_html(row.there), escaped_html(row.here),
                   shown(row.published, row), shown(row.published_per_core, row),
                   row.measured ? dashboards::datum(*row.measured, measured_text(row)) : "not measured",
                   shown(row.measured_per_core, row)});
  std::string html = "<div class=\"introduction\"><ul>";
  for (const std::string& line : facts(reproduction)) html += "<li>" + escaped_html(line) + "</li>";
  html += "</ul>" + (table.empty() ? "" : table.render()) + "</div>\n";
  return dashboards::render_report(record, "", html);
}

std::string to_json(const Reproduction& reproduction, const results::Record& record) {
  using Json = nlohmann::ordered_json;
  const auto maybe = [](const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); };
  const Recipe& recipe = *reproduction.recipe;
  Json json = {{"schema", "cowbench.reproduce/1"}, {"recipe", recipe.name}, {"title", recipe.title},
               {"source", recipe.source},          {"machine", recipe.machine}, {"unknown", recipe.unknown},
               {"left_out", reproduction.scaling->left_out}, {"measurements", Json::array()}, {"beside", Json::array()}};
  for (const Scaled& scaled : reproduction.scaling->measurements)
    json["measurements"].push_back({{"run", scaled.run->name}, {"what", scaled.run->what},
                                    {"clients_published", scaled.clients_published}, {"clients", scaled.clients},
                                    {"cpus", scaled.cpus}, {"scaling", scaled.note}});
  for (const Beside& row : beside(reproduction, record))
    json["beside"].push_back({{"run", row.run}, {"media", row.media}, {"there", row.there}, {"here", row.here},
                              {"metric", row.metric}, {"published", row.published},
                              {"published_per_core", maybe(row.published_per_core)}, {"measured", maybe(row.measured)},
                              {"measured_per_core", maybe(row.measured_per_core)},
                              {"ci95", row.ci95 ? Json::array({row.ci95->low, row.ci95->high}) : Json(nullptr)}});
  json["record"] = Json::parse(results::to_json(record));
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cowbench::reproduce
