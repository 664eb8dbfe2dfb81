// Data goes in as JSON in a script element of its own, where only "<" could end it early, and "<" occurs in JSON inside
// texts only: there it may be written as an escape. The policy in the head forbids every request, so a mistake in a page
// cannot leak a record either.
#include "dashboards/html.h"

#include <fmt/format.h>

#include "dashboards/report_bundle_internal.h"

namespace cowbench::dashboards {
namespace {

std::string escaped_json(std::string_view json) {
  std::string out;
  out.reserve(json.size() + json.size() / 64);
  for (const char byte : json) {
    if (byte == '<') {
      out += "\\u003c";
    } else {
      out += byte;
    }
  }
  return out;
}

constexpr std::string_view number_class = " class=\"number\"";

}  // namespace

std::string escaped_html(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 16);
  for (const char byte : text) {
    switch (byte) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += byte;
    }
  }
  return out;
}

std::string escaped_url(std::string_view text) {
  constexpr std::string_view plain = "-._~";
  std::string out;
  for (const char byte : text) {
    const bool alphanumeric = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    if (alphanumeric || plain.find(byte) != plain.npos) {
      out += byte;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(byte));
    }
  }
  return out;
}

std::string datum(double value, std::string_view shown) {
  return fmt::format("<data value=\"{}\">{}</data>", value, escaped_html(shown));
}

std::string link(std::string_view address, std::string_view text) {
  return fmt::format("<a href=\"{}\">{}</a>", escaped_html(address), escaped_html(text));
}

void HtmlTable::add_column(std::string_view title, Kind kind, std::string_view hint) {
  columns_.push_back({std::string(title), std::string(hint), kind});
}

void HtmlTable::add_row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

std::string HtmlTable::render() const {
  std::string html = fmt::format(
      "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"table-{0}\"><table data-table=\"{0}\">"
      "<caption id=\"table-{0}\">{1}</caption><thead><tr>",
      escaped_html(name_), escaped_html(caption_));
  for (const Column& column : columns_) {
    html += fmt::format("<th scope=\"col\"{}>{}", column.kind == Kind::number ? number_class : "",
                        escaped_html(column.title));
    html += column.hint.empty() ? "</th>" : "<small>" + escaped_html(column.hint) + "</small></th>";
  }
  html += "</tr></thead><tbody>";
  for (const std::vector<std::string>& row : rows_) {
    for (std::size_t at = 0; at < row.size(); ++at) {
      const std::string_view kind = columns_[at].kind == Kind::number ? number_class : "";
      html += at == 0 ? fmt::format("\n<tr><th scope=\"row\"{}>{}</th>", kind, row[at])
                      : fmt::format("<td{}>{}</td>", kind, row[at]);
    }
    html += "</tr>";
  }
  return html + "\n</tbody></table></div>\n";
}

std::string render_page(const Page& page) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
      "style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>" +
      escaped_html(page.title) + "</title>\n<style>\n";
  for (const std::string_view part : report_style()) html += part;
  html += "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#content\">Skip to the results</a>\n" + page.header +
          "<main id=\"content\" tabindex=\"-1\">" + page.content + "</main>\n";
  if (!page.data_name.empty()) {
    html += fmt::format("<script type=\"application/json\" id=\"{}\">", page.data_name);
    html += escaped_json(page.data) + "</script>\n";
  }
  html += "<script>\n";
  for (const std::string_view part : report_script()) html += part;
  return html + "</script>\n</body>\n</html>\n";
}

}  // namespace cowbench::dashboards
