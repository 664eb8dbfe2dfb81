#include "workloads/fio_values.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string>

namespace cowbench::workloads {
namespace {

constexpr u64 second_ns = 1'000'000'000;
constexpr double value_limit = 18446744073709551616.0;  // 2^64
constexpr u32 bracket_depth_max = 32;

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char letter) { return std::tolower(letter); });
  return out;
}

// Sums of products of powers, in brackets or not, on numbers that may have suffixes. Recursive descent with a bound.
class Arithmetic {
 public:
  using Scale = std::optional<double> (*)(std::string_view suffix, u64 parameter);
  Arithmetic(std::string_view text, Scale scale, u64 parameter) : rest_(text), scale_(scale), parameter_(parameter) {}

  std::optional<double> value() {
    const auto result = sum();
    skip();
    return rest_.empty() ? result : std::nullopt;
  }

 private:
  void skip() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }
  std::optional<char> operation(std::string_view among) {
    skip();
    if (rest_.empty() || among.find(rest_.front()) == std::string_view::npos) return {};
    const char sign = rest_.front();
    rest_.remove_prefix(1);
    return sign;
  }
  std::optional<double> sum() {
    auto left = product();
    while (left) {
      const auto sign = operation("+-");
      if (!sign) break;
      const auto right = product();
      if (!right) return {};
      left = *sign == '+' ? *left + *right : *left - *right;
    }
    return left;
  }
  std::optional<double> product() {
    auto left = power();
    while (left) {
      const auto sign = operation("*/%");
      if (!sign) break;
      const auto right = power();
      if (!right || (*sign != '*' && *right == 0)) return {};
      left = *sign == '*' ? *left * *right : *sign == '/' ? *left / *right : std::fmod(*left, *right);
    }
    return left;
  }
  std::optional<double> power() {
    const auto left = factor();
    if (!left || !operation("^")) return left;
    const auto right = factor();
    if (!right) return {};
    return std::pow(*left, *right);
  }
  std::optional<double> factor() {
    if (operation("(")) {
      if (++depth_ > bracket_depth_max) return {};
      const auto inner = sum();
      --depth_;
      if (!inner || !operation(")")) return {};
      return scaled(*inner);
    }
    skip();
    return number();
  }
  std::optional<double> number() {
    const bool hexadecimal = rest_.starts_with("0x");
    if (rest_.empty() || !std::isdigit(static_cast<unsigned char>(rest_.front()))) return {};
    double result = 0;
    const char* end = rest_.data() + rest_.size();
    if (hexadecimal) {
      u64 bits = 0;
      const auto parsed = std::from_chars(rest_.data() + 2, end, bits, 16);
      if (parsed.ec != std::errc{}) return {};
      result = static_cast<double>(bits);
      rest_.remove_prefix(static_cast<std::size_t>(parsed.ptr - rest_.data()));
    } else {
      const auto parsed = std::from_chars(rest_.data(), end, result, std::chars_format::fixed);
      if (parsed.ec != std::errc{}) return {};
      rest_.remove_prefix(static_cast<std::size_t>(parsed.ptr - rest_.data()));
    }
    return scaled(result);
  }
  std::optional<double> scaled(double number) {
    const auto end = std::ranges::find_if(rest_, [](unsigned char letter) { return !std::isalpha(letter); });
    const std::string_view suffix(rest_.begin(), end);
    rest_.remove_prefix(suffix.size());
    const auto factor = scale_(suffix, parameter_);
    if (!factor) return {};
    return number * *factor;
  }

  std::string_view rest_;
  const Scale scale_;
  const u64 parameter_;
  u32 depth_ = 0;
};

std::optional<u64> whole(std::optional<double> value) {
  if (!value || !(*value >= 0) || *value >= value_limit) return {};
  return static_cast<u64>(*value);
}

std::optional<double> size_scale(std::string_view suffix, u64 kilo) {
  if (suffix.ends_with('b')) suffix.remove_suffix(1);
  if (suffix.empty()) return 1;
  const auto exponent = std::string_view("kmgtp").find(suffix.front());
  if (exponent == std::string_view::npos) return {};
  suffix.remove_prefix(1);
  if (!suffix.empty() && suffix != "i") return {};
  const u64 base = suffix.empty() ? kilo : kilo == 1024 ? 1000 : 1024;  // fio: ki is what k is not
  return std::pow(static_cast<double>(base), static_cast<double>(exponent + 1));
}

std::optional<double> time_scale(std::string_view suffix, u64 unit_ns) {
  struct Unit {
    std::string_view name;
    u64 ns;
  };
  if (suffix.empty()) return static_cast<double>(unit_ns);
  for (const Unit& unit : {Unit{"d", 86400 * second_ns}, Unit{"h", 3600 * second_ns}, Unit{"m", 60 * second_ns},
                           Unit{"s", second_ns}, Unit{"sec", second_ns}, Unit{"ms", 1'000'000}, Unit{"msec", 1'000'000},
                           Unit{"us", 1000}, Unit{"usec", 1000}, Unit{"ns", 1}, Unit{"nsec", 1}}) {
    if (suffix == unit.name) return static_cast<double>(unit.ns);
  }
  return {};
}

// Doubles hold whole numbers up to 2^53 only: plain digits are read exactly.
std::optional<u64> exact(std::string_view text) {
  u64 value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return {};
  return value;
}

}  // namespace

std::optional<u64> parse_fio_number(std::string_view text, u64 kilo) {
  if (const auto plain = exact(text)) return plain;
  return whole(Arithmetic(lower(text), size_scale, kilo).value());
}

std::optional<u64> parse_fio_time(std::string_view text, u64 unit_ns) {
  const std::string letters = lower(text);
  return whole(Arithmetic(letters, time_scale, unit_ns).value());
}

std::optional<FioAmount> parse_fio_amount(std::string_view text, u64 kilo) {
  FioAmount amount;
  if (text.ends_with('%')) {
    const auto percent = exact(text.substr(0, text.size() - 1));
    if (!percent || *percent > 100) return {};
    amount.percent = static_cast<u32>(*percent);
    return amount;
  }
  const auto bytes = parse_fio_number(text, kilo);
  if (!bytes) return {};
  amount.bytes = *bytes;
  return amount;
}

std::optional<FioRange> parse_fio_range(std::string_view text, u64 kilo) {
  const auto cut = text.find_first_of("-:");
  const auto low = parse_fio_number(text.substr(0, cut), kilo);
  const auto high = cut == std::string_view::npos ? low : parse_fio_number(text.substr(cut + 1), kilo);
  if (!low || !high) return {};
  return FioRange{std::min(*low, *high), std::max(*low, *high)};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto end = text.find(separator);
    std::string_view part = text.substr(0, end);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    parts.push_back(part);
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace cowbench::workloads
