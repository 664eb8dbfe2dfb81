// What the pages of the site have in common.
#pragma once
#include <string>
#include <string_view>

#include "dashboards/format.h"
#include "dashboards/html.h"
#include "results/store/store.h"

namespace cowbench::site {

// `here`: the address of the section that the page belongs to, such as "/runs".
std::string navigation(std::string_view here);

struct SitePage {
  std::string title;
  std::string_view here;
  std::string content;  // HTML, with its h1
  std::string data;     // JSON for the script; may be empty
};
std::string render_site_page(const SitePage& page);

std::string short_id(std::string_view id);
// "3f2a91c07b+": the plus says that the tree was changed.
std::string short_commit(std::string_view commit, bool dirty);
// "2026-11-27 22:57", which does not break
std::string short_time(std::string_view started);

std::string run_link(std::string_view id);
std::string compare_link(std::string_view a, std::string_view b, std::string_view text);

// "+5.1%"
std::string percent_change(double effect);
using dashboards::counted;

// The word with its sign and colour.
std::string marked(std::string_view kind, std::string_view sign, std::string_view text);

}  // namespace cowbench::site
