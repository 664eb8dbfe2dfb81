#include "results/exchange/export.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "results/exchange/run_lines.h"
#include "results/histogram_codec.h"
#include "results/record_fixture.h"
#include "results/store/store_fixture.h"

namespace cowbench::exchange {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;
using store::StoredRun;

std::vector<StoredRun> sample() {
  return {StoredRun{{}, "", results::fixture::make_record()},
          StoredRun{store::RunStatus::partial, "a | b, \"c\"", store::fixture::make_run(1).record}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Export, CsvHasALineForEachValue) {
  const auto lines = lines_of(export_runs(sample(), OutputFormat::csv));
  std::size_t values = 0;
  for (const StoredRun& run : sample())
    for (const auto& comparison : run.record.comparisons)
      for (const auto& result : comparison.results)
        for (const auto& round : result.rounds) values += round.metrics.size();
  EXPECT_THAT(lines, SizeIs(values + 1));
  EXPECT_THAT(lines[1], HasSubstr(",complete,disk,dbench client.txt,48,cowfs,\"crc32c, fsync=flush\",0,"));
}

TEST(Export, JsonIsTheRecordOrAListOfThem) {
  const std::vector<StoredRun> runs = sample();
  EXPECT_EQ(export_runs(std::span(runs).first(1), OutputFormat::json), results::to_json(runs[0].record));
  EXPECT_THAT(nlohmann::json::parse(export_runs(sample(), OutputFormat::json)), SizeIs(2));
}

TEST(Export, MarkdownEscapesWhatWouldBreakItsTable) {
  const std::string text = export_runs(sample(), OutputFormat::markdown);
  EXPECT_THAT(text, HasSubstr("partial: a \\| b"));
  EXPECT_THAT(text, HasSubstr("| disk | dbench client.txt | 48 | cowfs (crc32c, fsync=flush) | throughput_mb_s |"));
}

TEST(Export, HistogramLogHoldsEveryOperation) {
  const auto lines = lines_of(export_runs(sample(), OutputFormat::hlog));
  ASSERT_THAT(lines, SizeIs(4 + 2 * 4 * 5));
  EXPECT_EQ(lines[1], "#[Histogram log format version 1.3]");
  EXPECT_THAT(std::vector(lines.begin() + 4, lines.end()), Each(AllOf(StartsWith("Tag="), HasSubstr(",HISTFAAA"))));
  EXPECT_TRUE(results::decode_histogram(lines[4].substr(lines[4].rfind(',') + 1)).ok());
}

TEST(Export, PrometheusTextGroupsByMetric) {
  const auto lines = lines_of(export_runs(sample(), OutputFormat::prometheus));
  std::size_t types = 0;
  std::set<std::string> seen;
  for (const std::string& line : lines) {
    if (line.starts_with("# TYPE ")) {
      ++types;
      EXPECT_TRUE(seen.insert(line).second) << line;
    }
    if (line.starts_with("#")) continue;
    EXPECT_THAT(line, testing::MatchesRegex("cowbench_[a-z0-9_]+\\{run=\"[0-9a-f]+\",.*\\} [-+.e0-9]+"));
  }
  EXPECT_GT(types, 10u);
}

TEST(Export, LinesComeBack) {
  std::string reason;
  const auto runs = parse_lines(export_runs(sample(), OutputFormat::lines), reason);
  ASSERT_TRUE(runs.ok()) << reason;
  EXPECT_EQ(export_runs(*runs, OutputFormat::csv), export_runs(sample(), OutputFormat::csv));
}

TEST(Export, NamesLeadBack) {
  for (const char* text : {"lines", "json", "csv", "markdown", "hlog", "prometheus"}) {
    ASSERT_TRUE(output_format_named(text));
    EXPECT_EQ(name(*output_format_named(text)), text);
  }
  EXPECT_FALSE(output_format_named("pdf"));
}

}  // namespace
}  // namespace cowbench::exchange
