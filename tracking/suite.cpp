#include "tracking/suite.h"

#include <fmt/format.h>
#include <toml++/toml.h>
#include <xxhash.h>

#include <algorithm>
#include <initializer_list>

#include "results/metrics.h"

namespace cowbench::tracking {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;

// Takes keys of one table, and remembers the first thing that is wrong.
class Reader {
 public:
  Reader(const toml::table& table, std::string where, std::string& problem)
      : table_(table), where_(std::move(where)), problem_(problem) {}

  void text(std::string_view key, std::string& value) {
    take(key, "a text", [&](const toml::node& node) { return assign(node.value_exact<std::string>(), value); });
  }
  void flag(std::string_view key, bool& value) {
    take(key, "true or false", [&](const toml::node& node) { return assign(node.value_exact<bool>(), value); });
  }
  void seconds(std::string_view key, u32& value) {
    take(key, "a number of seconds from 1 to 86400", [&](const toml::node& node) {
      const auto number = node.value_exact<i64>();
      if (!number || *number < 1 || *number > 86400) return false;
      value = static_cast<u32>(*number);
      return true;
    });
  }
  void words(std::string_view key, Words& value) {
    take(key, "a list of texts that is not empty", [&](const toml::node& node) { return words_of(node, value); });
  }
  void commands(std::string_view key, std::vector<Words>& value) {
    take(key, "a list of commands, each a list of texts", [&](const toml::node& node) {
      const toml::array* list = node.as_array();
      if (list == nullptr) return false;
      return std::ranges::all_of(*list, [&](const toml::node& entry) { return words_of(entry, value.emplace_back()); });
    });
  }
  const toml::table* table(std::string_view key) {
    const toml::table* found = nullptr;
    take(key, "a table", [&](const toml::node& node) { return (found = node.as_table()) != nullptr; });
    return found;
  }
  const toml::array* tables(std::string_view key) {
    const toml::array* found = nullptr;
    take(key, "a list of tables", [&](const toml::node& node) {
      found = node.as_array();
      return found != nullptr && found->is_homogeneous(toml::node_type::table);
    });
    return found;
  }

  // To be called last: what was not taken is unknown.
  void end() {
    for (const auto& [key, node] : table_) {
      if (std::ranges::find(taken_, key.str()) == taken_.end())
        complain(node.source(), fmt::format("{}{} is not known", where_, key.str()));
    }
  }
  void need(std::string_view key, bool there) {
    if (!there) complain(table_.source(), fmt::format("{}{} is missing", where_, key));
  }
  void complain(const toml::source_region& place, const std::string& what) {
    if (problem_.empty()) problem_ = fmt::format("{}: {}", place.begin.line, what);
  }

 private:
  using i64 = std::int64_t;

  template <typename T>
  static bool assign(std::optional<T> from, T& to) {
    if (from) to = std::move(*from);
    return from.has_value();
  }
  static bool words_of(const toml::node& node, Words& value) {
    const toml::array* list = node.as_array();
    if (list == nullptr || list->empty()) return false;
    return std::ranges::all_of(*list, [&](const toml::node& entry) {
      const auto word = entry.value_exact<std::string>();
      value.push_back(word.value_or(""));
      return word.has_value() && word->find('\0') == std::string::npos;
    });
  }
  void take(std::string_view key, std::string_view wanted, auto&& read) {
    taken_.push_back(key);
    const toml::node* node = table_.get(key);
    if (node != nullptr && !read(*node)) complain(node->source(), fmt::format("{}{} must be {}", where_, key, wanted));
  }

  const toml::table& table_;
  std::string where_;
  std::string& problem_;
  std::vector<std::string_view> taken_;
};

// Inside the tree: what is kept is copied from there, and the copy's place is our own.
bool stays_inside(const std::string& path) {
  return !path.empty() && path.front() != '/' && ("/" + path + "/").find("/../") == std::string::npos;
}

void read_bench(const toml::table& table, Suite& suite, std::string& problem) {
  Reader reader(table, "bench.", problem);
  std::string format = "values";
  reader.words("command", suite.bench);
  reader.text("format", format);
  reader.seconds("timeout_seconds", suite.bench_timeout_seconds);
  reader.need("command", !suite.bench.empty());
  suite.format = exchange::format_named(format);
  if (!suite.format && format != "values")
    reader.complain(table.get("format")->source(), fmt::format("bench.format {} is not known", format));
  reader.end();
}

void read_control(const toml::table& table, Suite& suite, std::string& problem) {
  Reader reader(table, "control.", problem);
  reader.words("command", suite.control);
  reader.text("commit", suite.control_commit);
  if (suite.control.empty() == suite.control_commit.empty())
    reader.complain(table.source(), "control needs either a command or a commit");
  reader.end();
}

void read_metric(const toml::table& table, Suite& suite, std::string& problem) {
  Reader reader(table, "metric.", problem);
  SuiteMetric metric;
  std::string better;
  reader.text("name", metric.name);
  reader.text("better", better);
  reader.flag("exact", metric.exact);
  reader.need("name", !metric.name.empty());
  const results::MetricDescription* known = results::find_metric(metric.name);
  if (better.empty() && known != nullptr)
    metric.direction = known->direction;
  else if (better == "lower")
    metric.direction = results::Direction::lower_is_better;
  else if (better != "higher")
    reader.complain(table.source(), "metric.better must be higher or lower");
  reader.end();
  if (std::ranges::find(suite.metrics, metric.name, &SuiteMetric::name) != suite.metrics.end())
    reader.complain(table.source(), fmt::format("metric {} is there twice", metric.name));
  suite.metrics.push_back(std::move(metric));
}

void read_top(const toml::table& table, Suite& suite, std::string& problem) {
  Reader reader(table, "", problem);
  reader.text("name", suite.name);
  reader.commands("build", suite.build);
  reader.words("keep", suite.keep);
  reader.seconds("build_timeout_seconds", suite.build_timeout_seconds);
  const toml::table* bench = reader.table("bench");
  const toml::table* control = reader.table("control");
  const toml::array* metrics = reader.tables("metric");
  reader.end();
  reader.need("name", !suite.name.empty());
  reader.need("keep", !suite.keep.empty());
  reader.need("bench", bench != nullptr);
  reader.need("metric", metrics != nullptr);
  for (const std::string& path : suite.keep) {
    if (!stays_inside(path))
      reader.complain(table.get("keep")->source(), fmt::format("keep: {} is not inside the tree", path));
  }
  if (bench != nullptr) read_bench(*bench, suite, problem);
  if (control != nullptr) read_control(*control, suite, problem);
  if (metrics != nullptr && problem.empty())
    for (const toml::node& metric : *metrics) read_metric(*metric.as_table(), suite, problem);
}

}  // namespace

Outcome<Suite> parse_suite(std::string_view text, const std::string& file) {
  Suite suite;
  std::string problem;
  try {
    read_top(toml::parse(text), suite, problem);
  } catch (const toml::parse_error& error) {  // the library as Debian builds it has no other way to say it
    problem = fmt::format("{}: {}", error.source().begin.line, error.description());
  }
  if (!problem.empty()) return Failure{FailureKind::request, fmt::format("{}:{}", file, problem), ""};
  return suite;
}

std::string measured_id(const Suite& suite, const std::string& control_sha) {
  std::string text = suite.format ? std::string(exchange::name(*suite.format)) : "values";
  for (const Words* words : {&suite.bench, &suite.control}) {
    text += '\n';
    for (const std::string& word : *words) text += word + '\n';
  }
  if (suite.control.empty()) text += control_sha;
  return fmt::format("{}#{:08x}", suite.name, static_cast<u32>(XXH3_64bits(text.data(), text.size())));
}

}  // namespace cowbench::tracking
