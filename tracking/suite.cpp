#include "tracking/suite.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "results/metrics.h"
#include "tracking/table_reader.h"

namespace cowbench::tracking {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;

// Inside the tree: what is kept is copied from there, and the copy's place is our own.
bool stays_inside(const std::string& path) {
  return !path.empty() && path.front() != '/' && ("/" + path + "/").find("/../") == std::string::npos;
}

void read_bench(const toml::table& table, Suite& suite, std::string& problem) {
  TableReader reader(table, "bench.", problem);
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
  TableReader reader(table, "control.", problem);
  reader.words("command", suite.control);
  reader.text("commit", suite.control_commit);
  if (suite.control.empty() && suite.control_commit.empty())
    reader.complain(table.source(), "control needs a command or a commit, or both");
  reader.end();
}

void read_metric(const toml::table& table, Suite& suite, std::string& problem) {
  TableReader reader(table, "metric.", problem);
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
  TableReader reader(table, "", problem);
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
  const harness::Action read =
      read_toml(text, file, [&](const toml::table& table, std::string& wrong) { read_top(table, suite, wrong); });
  if (!read) return read.failure();
  return suite;
}

std::string measured_id(const Suite& suite, const std::string& control_sha) {
  std::string text = suite.format ? std::string(exchange::name(*suite.format)) : "values";
  for (const Words* words : {&suite.bench, &suite.control}) {
    text += '\n';
    for (const std::string& word : *words) text += word + '\n';
  }
  if (suite.has_frozen_build()) text += control_sha;
  return fmt::format("{}#{:08x}", suite.name, static_cast<u32>(XXH3_64bits(text.data(), text.size())));
}

}  // namespace cowbench::tracking
