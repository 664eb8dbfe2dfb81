#include "harness/byte_size.h"

#include <fmt/format.h>
#include <strings.h>

#include <array>
#include <charconv>

namespace cowbench::harness {
namespace {

constexpr std::string_view units = "KMGT";

std::optional<unsigned> shift_of(std::string suffix) {
  if (suffix.empty() || strcasecmp(suffix.c_str(), "B") == 0) return 0;
  const std::size_t unit = units.find(static_cast<char>(std::toupper(static_cast<unsigned char>(suffix[0]))));
  const std::string rest = suffix.substr(1);
  const bool known = rest.empty() || strcasecmp(rest.c_str(), "B") == 0 || strcasecmp(rest.c_str(), "iB") == 0;
  if (unit == units.npos || !known) return {};
  return 10 * (static_cast<unsigned>(unit) + 1);
}

}  // namespace

Outcome<u64> parse_size(std::string_view text) {
  u64 number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto shift = shift_of(std::string(end, text.data() + text.size()));
  if (error != std::errc{} || !shift || (number << *shift) >> *shift != number)
    return Failure{FailureKind::request, fmt::format("'{}' is no size", text), "write 4096, 512M, 8G or the like"};
  return number << *shift;
}

std::string size_text(u64 bytes) {
  if (bytes < cowfs::kib) return fmt::format("{} bytes", bytes);
  unsigned unit = 0;
  while (unit + 1 < units.size() && bytes >> (10 * (unit + 2)) != 0) ++unit;
  const u64 one = u64{1} << (10 * (unit + 1));
  const double value = static_cast<double>(bytes) / static_cast<double>(one);
  return bytes % one == 0 ? fmt::format("{} {}iB", bytes / one, units[unit])
                          : fmt::format("{:.2f} {}iB", value, units[unit]);
}

}  // namespace cowbench::harness
