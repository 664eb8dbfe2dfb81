#include <fmt/format.h>

#include <array>

#include "site/frame_internal.h"

namespace cowbench::site {
namespace {

struct Section {
  std::string_view address, title;
};
constexpr std::array sections{Section{"/", "Overview"}, Section{"/runs", "Runs"}, Section{"/compare", "Compare"},
                              Section{"/hosts", "Hosts"}, Section{"/api/openapi.json", "API"}};

}  // namespace

std::string navigation(std::string_view here) {
  std::string html = "<header class=\"site\"><nav aria-label=\"Site\"><ul><li class=\"brand\">cowbench</li>";
  for (const Section& section : sections) {
    const std::string_view current = section.address == here ? " aria-current=\"page\"" : "";
    html += fmt::format("<li><a href=\"{}\"{}>{}</a></li>", section.address, current, section.title);
  }
  return html + "</ul></nav></header>\n";
}

std::string render_site_page(const SitePage& page) {
  return dashboards::render_page({page.title + " - cowbench", navigation(page.here), page.content,
                                  page.data.empty() ? "" : "site-data", page.data});
}

std::string short_id(std::string_view id) { return std::string(id.substr(0, 12)); }

std::string short_commit(std::string_view commit, bool dirty) {
  return std::string(commit.substr(0, 10)) + (dirty && !commit.empty() ? "+" : "");
}

std::string short_time(std::string_view started) {
  std::string text(started.substr(0, 16));
  if (text.size() > 10 && text[10] == 'T') text.replace(10, 1, "\u00a0");  // one word
  return text;
}

std::string run_link(std::string_view id) { return dashboards::link(fmt::format("/run/{}", id), short_id(id)); }

std::string compare_link(std::string_view a, std::string_view b, std::string_view text) {
  return dashboards::link(fmt::format("/compare?a={}&b={}", dashboards::escaped_url(a), dashboards::escaped_url(b)), text);
}

std::string percent_change(double effect) { return fmt::format("{:+.1f}%", 100 * effect); }

std::string marked(std::string_view kind, std::string_view sign, std::string_view text) {
  return fmt::format("<span class=\"verdict verdict-{}\">{} {}</span>", kind, sign, dashboards::escaped_html(text));
}

}  // namespace cowbench::site
