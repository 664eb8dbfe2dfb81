// The record goes in as JSON in a script element of its own, where only "<" could end it early, and "<" occurs in JSON
// inside texts only: there it may be written as an escape. The policy in the head forbids every request, so a mistake
// in the page cannot leak a record either.
#include "dashboards/report.h"

#include <string_view>

#include "dashboards/report_bundle_internal.h"
#include "dashboards/terminal.h"

namespace cowbench::dashboards {
namespace {

std::string replaced(std::string_view text, auto&& escape_of) {
  std::string out;
  out.reserve(text.size() + text.size() / 16);
  for (const char byte : text) {
    const std::string_view escape = escape_of(byte);
    if (escape.empty()) {
      out += byte;
    } else {
      out += escape;
    }
  }
  return out;
}

std::string escaped_json(std::string_view json) {
  return replaced(json, [](char byte) -> std::string_view { return byte == '<' ? "\\u003c" : ""; });
}

std::string escaped_html(std::string_view text) {
  return replaced(text, [](char byte) -> std::string_view {
    switch (byte) {
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return "&quot;";
      default:
        return "";
    }
  });
}

// The page draws percentiles; the histograms behind them would double its size.
results::Record without_histograms(results::Record record) {
  for (results::Comparison& comparison : record.comparisons)
    for (results::TargetResult& result : comparison.results)
      for (results::OperationStatistics& operation : result.operations) operation.histogram.clear();
  return record;
}

}  // namespace

std::string render_report(const results::Record& record) {
  std::string title = "cowbench";
  if (!record.comparisons.empty()) {
    const results::Comparison& first = record.comparisons.front();
    title += ": " + first.workload + ", " + std::to_string(first.clients) + " clients";
  }
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
      "style-src 'unsafe-inline'; img-src data:\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>" +
      escaped_html(title) + "</title>\n<style>\n";
  for (const std::string_view part : report_style()) page += part;
  page +=
      "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#report\">Skip to the results</a>\n<main id=\"report\" "
      "tabindex=\"-1\"></main>\n<noscript><main><h1>" +
      escaped_html(title) + "</h1>\n<pre>\n";
  const Style plain_text{.unicode = true, .colour = false, .redraw = false, .columns = 120};
  page += escaped_html(render_record(record, plain_text));
  page += "</pre></main></noscript>\n<script type=\"application/json\" id=\"record\">";
  page += escaped_json(results::to_json(without_histograms(record)));
  page += "</script>\n<script>\n";
  for (const std::string_view part : report_script()) page += part;
  page += "</script>\n</body>\n</html>\n";
  return page;
}

}  // namespace cowbench::dashboards
