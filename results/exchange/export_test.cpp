#include "results/exchange/export.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "results/exchange/import.h"
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

results::OperationStatistics operation(const results::TargetResult& result, const char* name) {
  return *std::ranges::find(result.operations, name, &results::OperationStatistics::name);
}

MATCHER_P(IsWithinABinOf, other, "") { return arg <= other + other / 64 && other <= arg + arg / 64; }

// Our importer takes what it takes from fio: the percentiles are those of the run, within one of fio's bins.
TEST(Export, FioOutputHasAJobForEachTarget) {
  const std::vector<StoredRun> runs = sample();
  const std::string text = export_runs(std::span(runs).first(1), OutputFormat::fio);
  EXPECT_EQ(detect_format(text), Format::fio);
  const auto json = nlohmann::json::parse(text);
  ASSERT_THAT(json.at("jobs"), SizeIs(8));
  EXPECT_THAT(json["jobs"][0].at("jobname").get<std::string>(), testing::EndsWith("/disk/dbench client.txt/48/cowfs"));
  std::string reason;
  const auto back = import_runs(text, Format::fio, {}, reason);
  ASSERT_TRUE(back.ok()) << reason;
  const auto& comparisons = back->front().record.comparisons;
  ASSERT_THAT(comparisons, SizeIs(8 * 2));  // reads and writes
  const auto xfs_reads = std::ranges::find_if(comparisons, [](const results::Comparison& comparison) {
    return comparison.workload.ends_with("/disk/dbench client.txt/48/xfs read");
  });
  ASSERT_NE(xfs_reads, comparisons.end());
  const results::MetricValues& metrics = xfs_reads->results.at(0).rounds.at(0).metrics;
  const results::OperationStatistics& after = xfs_reads->results[0].operations.at(0);
  const results::OperationStatistics before = operation(runs[0].record.comparisons[0].results[2], "read");
  EXPECT_EQ(after.count, before.count);
  EXPECT_EQ(metrics.at("latency_max_ns"), static_cast<double>(before.max_ns));
  EXPECT_FALSE(metrics.contains("throughput_mb_s"));  // reads and writes share it
  EXPECT_THAT(after.p50_ns, IsWithinABinOf(before.p50_ns));
  EXPECT_THAT(after.p99_ns, IsWithinABinOf(before.p99_ns));
  EXPECT_THAT(after.p999_ns, IsWithinABinOf(before.p999_ns));

  EXPECT_EQ(json["jobs"][0].at("trim").at("total_ios"), 0);
  const auto& sync = json["jobs"][0].at("sync").at("lat_ns");
  EXPECT_EQ(sync.at("N"), operation(runs[0].record.comparisons[0].results[0], "flush").count);
  u64 in_bins = 0;
  for (const auto& [bin, count] : sync.at("bins").items()) in_bins += count.get<u64>();
  EXPECT_EQ(in_bins, sync.at("N"));
}

TEST(Export, LinesComeBack) {
  std::string reason;
  const auto runs = parse_lines(export_runs(sample(), OutputFormat::lines), reason);
  ASSERT_TRUE(runs.ok()) << reason;
  EXPECT_EQ(export_runs(*runs, OutputFormat::csv), export_runs(sample(), OutputFormat::csv));
}

TEST(Export, NamesLeadBack) {
  for (const char* text : {"lines", "json", "csv", "markdown", "hlog", "prometheus", "fio"}) {
    ASSERT_TRUE(output_format_named(text));
    EXPECT_EQ(name(*output_format_named(text)), text);
  }
  EXPECT_FALSE(output_format_named("pdf"));
}

}  // namespace
}  // namespace cowbench::exchange
