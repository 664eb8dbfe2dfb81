#include "dashboards/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace cowbench::dashboards {
namespace {

// Three significant digits without an exponent.
std::string three_digits(double value) {
  const double size = std::abs(value);
  if (size >= 99.95) return fmt::format("{:.0f}", value);
  if (size >= 9.995) return fmt::format("{:.1f}", value);
  if (size >= 0.9995) return fmt::format("{:.2f}", value);
  if (size >= 0.09995) return fmt::format("{:.3f}", value);
  return fmt::format("{:.4f}", value);
}

std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", std::abs(value));
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return (value <= -0.5 ? "-" : "") + digits;
}

}  // namespace

std::string format_nanoseconds(double ns) {
  struct Unit {
    double size;
    const char* name;
  };
  constexpr std::array units{Unit{1e9, "s"}, Unit{1e6, "ms"}, Unit{1e3, "µs"}};
  for (const Unit& unit : units) {
    if (ns >= 0.9995 * unit.size) return three_digits(ns / unit.size) + " " + unit.name;
  }
  return fmt::format("{:.0f} ns", ns);
}

std::string format_number(double value) {
  const double size = std::abs(value);
  if (size >= 99.95) return grouped(value);
  return size >= 9.995 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

std::string format_megabytes(double bytes) { return format_number(bytes / 1e6); }

std::string format_factor(double factor) { return three_digits(factor); }

std::string format_in_unit(double value, std::string_view unit) {
  if (unit == "ns") return format_nanoseconds(value);
  if (unit == "B") return format_megabytes(value) + " MB";
  if (unit == "MB/s") return format_number(value) + " MB/s";
  if (unit == "1/s") return format_number(value) + " /s";
  if (unit == "s") return three_digits(value) + " s";
  return unit == "x" ? three_digits(value) : format_number(value);
}

std::string format_ratio(const results::Ratio& ratio) {
  if (!ratio.estimate) return "not measured";
  const std::string interval =
      ratio.ci95 ? fmt::format("[{}, {}]", three_digits(ratio.ci95->low), three_digits(ratio.ci95->high))
                 : std::string("(no interval)");
  return fmt::format("{} {} {}", three_digits(*ratio.estimate), interval, results::name(ratio.verdict));
}

std::string format_seconds_left(double seconds) {
  const auto whole = static_cast<long>(std::ceil(std::clamp(seconds, 0.0, 1e9)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

std::string printable(std::string_view text) {
  std::string clean(text);
  for (char& byte : clean) {
    const auto code = static_cast<unsigned char>(byte);
    if (code < 0x20 || code == 0x7f) byte = '?';
  }
  return clean;
}

}  // namespace cowbench::dashboards
