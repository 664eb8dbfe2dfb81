#include "workloads/steady_rule.h"

#include <charconv>

#include "workloads/fio_values.h"

namespace cowbench::workloads {
namespace {

std::optional<double> parse_limit(std::string_view text) {
  double limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size() || !(limit > 0)) return {};
  return limit;
}

}  // namespace

std::optional<SteadyRule> parse_steady_rule(std::string_view text, cowfs::u64 kilo) {
  const auto cut = text.find(':');
  if (cut == std::string_view::npos) return {};
  std::string_view what = text.substr(0, cut), limit = text.substr(cut + 1);
  SteadyRule rule;
  rule.slope = what.ends_with("_slope");
  if (rule.slope) what.remove_suffix(std::string_view("_slope").size());
  if (what != "iops" && what != "bw") return {};
  rule.of = what == "bw" ? SteadyRule::Of::bytes : SteadyRule::Of::operations;
  rule.percent = limit.ends_with('%');
  if (rule.percent) limit.remove_suffix(1);
  auto parsed = parse_limit(limit);
  if (!parsed && !rule.percent && rule.of == SteadyRule::Of::bytes) {
    if (const auto bytes = parse_fio_number(limit, kilo); bytes && *bytes > 0) parsed = static_cast<double>(*bytes);
  }
  if (!parsed) return {};
  rule.limit = *parsed;
  return rule;
}

}  // namespace cowbench::workloads
