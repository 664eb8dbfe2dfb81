// The page's script and style, bundled from dashboards/web when building. Each is the concatenation of its parts.
#pragma once
#include <span>
#include <string_view>

namespace cowbench::dashboards {

std::span<const std::string_view> report_script();
std::span<const std::string_view> report_style();

}  // namespace cowbench::dashboards
