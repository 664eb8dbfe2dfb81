#include "results/record.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "results/metrics.h"
#include "results/record_fixture.h"

namespace cowbench::results {
namespace {

using Json = nlohmann::json;

TEST(Record, RoundTripsThroughJson) {
  const std::string text = to_json(fixture::make_record());
  std::string reason;
  const auto parsed = parse_record(text, reason);
  ASSERT_TRUE(parsed.ok()) << reason;
  EXPECT_EQ(to_json(*parsed), text);
  EXPECT_EQ(parsed->seed, "18446744073709551615");
  EXPECT_EQ(parsed->comparisons.at(1).results.at(2).operations.at(4).percentiles,
            fixture::make_record().comparisons.at(1).results.at(2).operations.at(4).percentiles);
}

// A run's id covers its text: what is read from before there was a field is written as it was.
TEST(Record, OneWithoutLatenciesBySecondKeepsItsText) {
  Record record = fixture::make_record();
  for (Comparison& comparison : record.comparisons)
    for (TargetResult& result : comparison.results)
      for (Round& round : result.rounds) round.latency_each_second.clear();
  const std::string text = to_json_line(record);
  EXPECT_EQ(text.find("latency_each_second"), text.npos);
  std::string reason;
  const auto parsed = parse_record(text, reason);
  ASSERT_TRUE(parsed.ok()) << reason;
  EXPECT_EQ(to_json_line(*parsed), text);
}

// The paths that other programs rely on.
TEST(Record, DocumentedPathsExist) {
  const Json json = Json::parse(to_json(fixture::make_record()));
  EXPECT_EQ(json.at("schema"), "cowbench.run/1");
  const Json& result = json.at("results").at(0);
  EXPECT_EQ(result.at("target"), "cowfs");
  EXPECT_EQ(result.at("label"), "cowfs (crc32c, fsync=flush)");
  EXPECT_EQ(result.at("media"), "disk");
  EXPECT_EQ(result.at("clients"), 48);
  EXPECT_EQ(result.at("rounds").size(), fixture::rounds);
  for (const char* metric : {"throughput_mb_s", "ops_s", "flush_p50_ns", "flush_p99_ns", "device_write_bytes",
                             "device_flushes", "write_amplification", "cpu_seconds"}) {
    EXPECT_TRUE(result.at("metrics").at(metric).at("median").is_number()) << metric;
    EXPECT_NE(find_metric(metric), nullptr) << metric;
  }
  const Json& ratio = json.at("ratios").at(0);
  EXPECT_EQ(ratio.at("metric"), "throughput_mb_s");
  EXPECT_EQ(ratio.at("numerator"), "cowfs");
  EXPECT_EQ(ratio.at("denominator"), "xfs");
  EXPECT_GT(ratio.at("estimate"), 6);
  EXPECT_EQ(ratio.at("ci95").size(), 2u);
  EXPECT_EQ(ratio.at("verdict"), "better");
  EXPECT_EQ(ratio.at("rounds"), fixture::rounds);
}

TEST(Record, TopLevelListsRepeatTheComparisons) {
  const Json json = Json::parse(to_json(fixture::make_record()));
  Json results = Json::array(), ratios = Json::array();
  for (const Json& comparison : json.at("comparisons")) {
    for (const Json& result : comparison.at("results")) results.push_back(result);
    for (const Json& ratio : comparison.at("ratios")) ratios.push_back(ratio);
  }
  EXPECT_EQ(results.size(), 8u);
  EXPECT_EQ(json.at("results"), results);
  EXPECT_EQ(json.at("ratios"), ratios);
}

TEST(Record, WhatWasNotMeasuredIsNull) {
  Record record;
  Comparison comparison;
  comparison.ratios.emplace_back();
  record.comparisons.push_back(comparison);
  const Json json = Json::parse(to_json(record));
  EXPECT_TRUE(json.at("ratios").at(0).at("estimate").is_null());
  EXPECT_TRUE(json.at("ratios").at(0).at("ci95").is_null());
  EXPECT_TRUE(json.at("comparisons").at(0).at("cache_bytes").is_null());
  std::string reason;
  EXPECT_TRUE(parse_record(to_json(record), reason).ok()) << reason;
}

TEST(Record, TextThatIsNotUtf8DoesNotStopTheRecord) {
  Record record;
  record.environment.cpu = "bad \xff byte";
  const Json json = Json::parse(to_json(record));
  EXPECT_EQ(json.at("environment").at("cpu"), "bad \xef\xbf\xbd byte");
}

TEST(Record, BadInputIsNamed) {
  struct Case {
    const char* what;
    std::string text;
    cowfs::Code code;
    const char* reason;
  };
  const std::string head = R"({"schema":"cowbench.run/1",)";
  using cowfs::Code;
  for (const Case& c : {
           Case{"empty", "", Code::record_not_json, "line 1: not JSON"},
           Case{"cut", "{\n\"schema\":", Code::record_not_json, "line 2: not JSON"},
           Case{"list", "[]", Code::record_not_json, "not a JSON object"},
           Case{"deep", std::string(1'000'000, '['), Code::record_not_json, "line 1: not JSON"},
           Case{"other schema", R"({"schema":"cowbench.run/2"})", Code::record_schema_unknown,
                "is cowbench.run/2, and this build reads cowbench.run/1"},
           Case{"no schema", "{}", Code::record_schema_unknown, "\"schema\" is missing"},
           Case{"number for text", head + R"("started":1})", Code::record_field_invalid, "started should be text"},
           Case{"negative", head + R"("environment":{"cores":-1}})", Code::record_field_invalid, "environment.cores"},
           Case{"list for object", head + R"("environment":[]})", Code::record_field_invalid, "environment should be"},
           Case{"object for list", head + R"("comparisons":{}})", Code::record_field_invalid, "comparisons should be"},
           Case{"verdict", head + R"("comparisons":[{"ratios":[{},{"verdict":"good"}]}]})", Code::record_field_invalid,
                "comparisons[0].ratios[1].verdict should be better"},
           Case{"latencies", head + R"("comparisons":[{"results":[{"rounds":[{"latency_each_second":["","7 0"]}]}]}]})",
                Code::record_field_invalid,
                "comparisons[0].results[0].rounds[0].latency_each_second[1] should be a bucket and the counts"},
           Case{"interval", head + R"("comparisons":[{"ratios":[{"ci95":[1]}]}]})", Code::record_field_invalid,
                "comparisons[0].ratios[0].ci95 should be two"},
       }) {
    SCOPED_TRACE(c.what);
    std::string reason;
    const auto parsed = parse_record(c.text, reason);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().code, c.code);
    EXPECT_NE(reason.find(c.reason), std::string::npos) << reason;
  }
}

// Every path below `prefix`, with [] for any element and {name} for any metric.
void collect_paths(const Json& json, const std::string& prefix, std::set<std::string>& paths) {
  if (json.is_array()) {
    for (const Json& item : json) {
      if (item.is_structured() && !item.is_array()) collect_paths(item, prefix + "[]", paths);
    }
    return;
  }
  if (!json.is_object()) return;
  for (const auto& [key, value] : json.items()) {
    const bool metric = prefix.ends_with("].metrics");
    const std::string path = (prefix.empty() ? "" : prefix + ".") + (metric ? "{name}" : key);
    paths.insert(path);
    const bool copy = path == "results" || path == "ratios" || path.ends_with(".ratio");
    if (!copy) collect_paths(value, path, paths);
  }
}

// Headings carry the path of a structure in backticks, the first cell of each row the field.
std::set<std::string> documented_paths(std::istream& document) {
  std::set<std::string> paths;
  std::string line, prefix;
  const auto quoted = [](const std::string& text) {
    const auto start = text.find('`') + 1;
    return text.substr(start, text.find('`', start) - start);
  };
  while (std::getline(document, line)) {
    if (line.starts_with("#")) prefix = line.find('`') == std::string::npos ? "" : quoted(line) + ".";
    if (line.starts_with("| `")) paths.insert(prefix + quoted(line));
  }
  return paths;
}

TEST(Record, EveryFieldIsDocumentedAndEveryDocumentedFieldExists) {
  std::set<std::string> written;
  collect_paths(Json::parse(to_json(fixture::make_record())), "", written);
  std::ifstream document(JSON_DOCUMENT);
  ASSERT_TRUE(document.is_open()) << JSON_DOCUMENT;
  const std::set<std::string> documented = documented_paths(document);
  for (const std::string& path : written) EXPECT_TRUE(documented.contains(path)) << "not documented: " << path;
  for (const std::string& path : documented) EXPECT_TRUE(written.contains(path)) << "never written: " << path;

  std::ifstream again(JSON_DOCUMENT);
  std::stringstream text;
  text << again.rdbuf();
  for (const MetricDescription& metric : metric_table()) {
    EXPECT_NE(text.str().find("`" + std::string(metric.name) + "`"), std::string::npos) << metric.name;
  }
}

}  // namespace
}  // namespace cowbench::results
