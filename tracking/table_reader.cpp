#include "tracking/table_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace cowbench::tracking {
namespace {

template <typename T>
bool assign(std::optional<T> from, T& to) {
  if (from) to = std::move(*from);
  return from.has_value();
}

bool assign_number(const toml::node& node, std::int64_t max, u32& value) {
  const auto number = node.value_exact<std::int64_t>();
  if (!number || *number < 1 || *number > max) return false;
  value = static_cast<u32>(*number);
  return true;
}

bool words_of(const toml::node& node, std::vector<std::string>& value) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->empty()) return false;
  return std::ranges::all_of(*list, [&](const toml::node& entry) {
    const auto word = entry.value_exact<std::string>();
    value.push_back(word.value_or(""));
    return word.has_value() && word->find('\0') == std::string::npos;
  });
}

constexpr std::int64_t count_max = 1 << 20;

}  // namespace

void TableReader::text(std::string_view key, std::string& value) {
  take(key, "a text", [&](const toml::node& node) { return assign(node.value_exact<std::string>(), value); });
}

void TableReader::flag(std::string_view key, bool& value) {
  take(key, "true or false", [&](const toml::node& node) { return assign(node.value_exact<bool>(), value); });
}

void TableReader::seconds(std::string_view key, u32& value) {
  take(key, "a number of seconds from 1 to 86400", [&](const toml::node& node) { return assign_number(node, 86400, value); });
}

void TableReader::count(std::string_view key, u32& value) {
  take(key, "a whole number from 1", [&](const toml::node& node) { return assign_number(node, count_max, value); });
}

void TableReader::counts(std::string_view key, std::vector<u32>& value) {
  take(key, "a list of whole numbers from 1", [&](const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr) return false;
    return std::ranges::all_of(*list, [&](const toml::node& entry) { return assign_number(entry, count_max, value.emplace_back()); });
  });
}

void TableReader::positive(std::string_view key, double& value) {
  take(key, "a number above 0", [&](const toml::node& node) {
    const auto number = node.value<double>();
    return number && *number > 0 && std::isfinite(*number) && assign(number, value);
  });
}

void TableReader::words(std::string_view key, std::vector<std::string>& value) {
  take(key, "a list of texts that is not empty", [&](const toml::node& node) { return words_of(node, value); });
}

void TableReader::commands(std::string_view key, std::vector<std::vector<std::string>>& value) {
  take(key, "a list of commands, each a list of texts", [&](const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr) return false;
    return std::ranges::all_of(*list, [&](const toml::node& entry) { return words_of(entry, value.emplace_back()); });
  });
}

const toml::table* TableReader::table(std::string_view key) {
  const toml::table* found = nullptr;
  take(key, "a table", [&](const toml::node& node) { return (found = node.as_table()) != nullptr; });
  return found;
}

const toml::array* TableReader::tables(std::string_view key) {
  const toml::array* found = nullptr;
  take(key, "a list of tables", [&](const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr || !list->is_homogeneous(toml::node_type::table)) return false;
    found = list;
    return true;
  });
  return found;
}

void TableReader::end() {
  for (const auto& [key, node] : table_) {
    if (std::ranges::find(taken_, key.str()) == taken_.end())
      complain(node.source(), fmt::format("{}{} is not known", where_, key.str()));
  }
}

void TableReader::need(std::string_view key, bool there) {
  if (!there) complain(table_.source(), fmt::format("{}{} is missing", where_, key));
}

void TableReader::complain(const toml::source_region& place, const std::string& what) {
  if (problem_.empty()) problem_ = fmt::format("{}: {}", place.begin.line, what);
}

void TableReader::take(std::string_view key, std::string_view wanted, const Read& read) {
  taken_.push_back(key);
  const toml::node* node = table_.get(key);
  if (node != nullptr && !read(*node)) complain(node->source(), fmt::format("{}{} must be {}", where_, key, wanted));
}

harness::Action read_toml(std::string_view text, const std::string& file,
                          const std::function<void(const toml::table&, std::string& problem)>& read) {
  std::string problem;
  try {
    read(toml::parse(text), problem);
  } catch (const toml::parse_error& error) {  // the library as Debian builds it has no other way to say it
    problem = fmt::format("{}: {}", error.source().begin.line, error.description());
  }
  if (problem.empty()) return harness::Done{};
  return harness::Failure{harness::FailureKind::request, fmt::format("{}:{}", file, problem), ""};
}

}  // namespace cowbench::tracking
