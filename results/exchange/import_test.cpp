#include "results/exchange/import.h"

#include <gmock/gmock.h>

#include "results/exchange/run_lines.h"
#include "results/record_fixture.h"

namespace cowbench::exchange {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// Cut down from fio 3.33: two jobs of one name, json+.
constexpr std::string_view fio_json = R"({
  "fio version" : "fio-3.33",
  "timestamp" : 1795780178,
  "jobs" : [
    {"jobname" : "mix", "error" : 0,
     "read" : {"bw_bytes" : 4000000, "iops" : 1000.5, "runtime" : 1001, "total_ios" : 4,
       "clat_ns" : {"min" : 1332, "max" : 21000, "mean" : 6000.0, "N" : 4,
         "percentile" : {"50.000000" : 1400, "99.000000" : 20000}, "bins" : {"1336" : 3, "20096" : 1}}},
     "write" : {"bw_bytes" : 0, "iops" : 0.0, "runtime" : 0, "total_ios" : 0}},
    {"jobname" : "mix", "error" : 0,
     "read" : {"bw_bytes" : 5000000, "iops" : 1200.5, "runtime" : 1000, "total_ios" : 2,
       "clat_ns" : {"min" : 1332, "max" : 1500, "mean" : 1400.0, "N" : 2, "bins" : {"1400" : 2}}}}
  ]
})";

constexpr std::string_view benchmark_json = R"({
  "context": {"date": "2026-11-27T11:49:38+00:00", "executable": "./btree_bench"},
  "benchmarks": [
    {"name": "insert/64", "run_name": "insert/64", "run_type": "iteration", "iterations": 100, "real_time": 2.5, "cpu_time": 2.0, "time_unit": "us"},
    {"name": "insert/64", "run_name": "insert/64", "run_type": "iteration", "iterations": 100, "real_time": 3.5, "cpu_time": 3.0, "time_unit": "us"},
    {"name": "insert/64_mean", "run_name": "insert/64", "run_type": "aggregate", "iterations": 2, "real_time": 3.0, "cpu_time": 2.5, "time_unit": "us"},
    {"name": "find", "run_name": "find", "run_type": "iteration", "iterations": 7, "real_time": 40, "cpu_time": 40, "time_unit": "ns"}
  ]
})";

constexpr std::string_view dbench_text = R"(dbench version 4.00 - Copyright Andrew Tridgell 1999-2004

Running for 3 seconds with load '/usr/share/dbench/client.txt' and minimum warmup 0 secs

 Operation      Count    AvgLat    MaxLat
 ----------------------------------------
 NTCreateX      57876     0.022    20.107
 Flush           4069     0.000     0.005

Throughput 621.052 MB/sec (sync open)  2 clients  2 procs  max_latency=32.070 ms
)";

constexpr std::string_view fs_mark_text =
    "\n#  fs_mark  -d /mnt/x -n 1000 -s 4096 -t 4\n"
    "#\tVersion 3.3, 4 thread(s) starting at Fri Nov 27 11:00:00 2026\n"
    "#\tSync method: INBAND FSYNC: fsync() per file in write loop.\n"
    "\nFSUse%        Count         Size    Files/sec     App Overhead\n"
    "     5         4000         4096        812.5            12345\n"
    "     6         8000         4096        790.1            12511\n";

results::Record imported(std::string_view text, Format format) {
  EXPECT_EQ(detect_format(text), format);
  std::string reason;
  const auto runs = import_runs(text, format, {.target = "xfs", .integrity = "barriers"}, reason);
  EXPECT_TRUE(runs.ok()) << reason;
  if (!runs.ok() || runs->size() != 1) return {};
  for (const results::Comparison& comparison : runs->front().record.comparisons) {
    EXPECT_EQ(comparison.results.front().label, "xfs (barriers)");
  }
  return runs->front().record;
}

TEST(Import, FioJobsOfOneNameAreOneLoad) {
  const results::Record record = imported(fio_json, Format::fio);
  EXPECT_EQ(record.started, "2026-11-27T11:49:38Z");
  ASSERT_THAT(record.comparisons, SizeIs(1));  // nobody wrote
  EXPECT_EQ(record.comparisons[0].workload, "fio mix read");
  EXPECT_EQ(record.comparisons[0].clients, 2u);
  const results::TargetResult& result = record.comparisons[0].results[0];
  EXPECT_THAT(result.metrics.at("throughput_mb_s").median, DoubleEq(9));
  EXPECT_THAT(result.metrics.at("ops_s").median, DoubleEq(2201));
  EXPECT_THAT(result.metrics.at("latency_mean_ns").median, DoubleEq((4 * 6000.0 + 2 * 1400.0) / 6));
  EXPECT_NEAR(result.metrics.at("latency_p50_ns").median, 1336, 2);
  EXPECT_NEAR(result.metrics.at("latency_p99_ns").median, 20096, 20);
  ASSERT_THAT(result.operations, SizeIs(1));
  EXPECT_EQ(result.operations[0].count, 6u);
}

TEST(Import, FioWithoutBinsHasPercentilesOfOneJobOnly) {
  std::string text(fio_json);
  for (std::size_t at; (at = text.find("\"bins\"")) != text.npos;) text.replace(at, 6, "\"none\"");
  const results::TargetResult two = imported(text, Format::fio).comparisons.at(0).results.at(0);
  EXPECT_FALSE(two.metrics.contains("latency_p99_ns"));
  EXPECT_THAT(two.notes, ElementsAre(HasSubstr("json+")));
  text.replace(text.find("\"mix\""), 5, "\"one\"");
  const results::Record one = imported(text, Format::fio);
  ASSERT_THAT(one.comparisons, SizeIs(2));
  EXPECT_EQ(one.comparisons[1].results[0].metrics.at("latency_p99_ns").median, 20000);
}

TEST(Import, RepetitionsOfABenchmarkAreRounds) {
  const results::Record record = imported(benchmark_json, Format::google_benchmark);
  ASSERT_THAT(record.comparisons, SizeIs(2));
  EXPECT_EQ(record.comparisons[0].workload, "insert/64");
  EXPECT_THAT(record.comparisons[0].results[0].metrics.at("iteration_ns").rounds, ElementsAre(2500, 3500));
  EXPECT_THAT(record.comparisons[1].results[0].metrics.at("iteration_cpu_ns").rounds, ElementsAre(40));
}

TEST(Import, DbenchText) {
  const results::Record record = imported(dbench_text, Format::dbench);
  ASSERT_THAT(record.comparisons, SizeIs(1));
  EXPECT_EQ(record.comparisons[0].workload, "dbench client.txt");
  const results::TargetResult& result = record.comparisons[0].results[0];
  EXPECT_EQ(result.clients, 2u);
  EXPECT_THAT(result.metrics.at("throughput_mb_s").median, DoubleEq(621.052));
  EXPECT_THAT(result.metrics.at("latency_max_ns").median, DoubleEq(32.070e6));
  EXPECT_THAT(result.options, ElementsAre("sync open"));
}

TEST(Import, FsMarkText) {
  const results::Record record = imported(fs_mark_text, Format::fs_mark);
  ASSERT_THAT(record.comparisons, SizeIs(1));
  EXPECT_EQ(record.comparisons[0].workload, "fs_mark 4096 B");
  EXPECT_EQ(record.comparisons[0].clients, 4u);
  EXPECT_THAT(record.comparisons[0].results[0].metrics.at("files_s").rounds, ElementsAre(812.5, 790.1));
}

TEST(Import, OurOwnFormsAreRecognised) {
  const results::Record record = results::fixture::make_record();
  std::string reason;
  EXPECT_EQ(detect_format(results::to_json(record)), Format::record);
  EXPECT_TRUE(import_runs(results::to_json(record), Format::record, {}, reason).ok());
  const std::string line = to_line({{}, "", record});
  EXPECT_EQ(detect_format(line), Format::lines);
  EXPECT_TRUE(import_runs(line, Format::lines, {}, reason).ok());
  EXPECT_EQ(detect_format("hello"), std::nullopt);
  EXPECT_EQ(detect_format(""), std::nullopt);
}

TEST(Import, DamageIsNamed) {
  struct Case {
    Format format;
    std::string text;
    const char* reason;
  };
  const auto changed = [](std::string_view whole, std::string_view from, std::string_view to) {
    std::string text(whole);
    return text.replace(text.find(from), from.size(), to);
  };
  for (const Case& c :
       {Case{Format::fio, std::string(fio_json.substr(0, 300)), "line 8: not JSON"},
        Case{Format::fio, "", "not JSON"},
        Case{Format::fio, changed(fio_json, "\"jobs\"", "\"jabs\""), "\"jobs\" should be"},
        Case{Format::fio, changed(fio_json, "\"error\" : 0", "\"error\" : 5"), "ended with error 5"},
        Case{Format::fio, changed(fio_json, "\"1336\"", "\"fast\""), "bins: 'fast'"},
        Case{Format::fio, std::string(100'000, '[') + "{", "not JSON"},
        Case{Format::google_benchmark, changed(benchmark_json, "\"us\"", "\"fortnights\""), "time_unit"},
        Case{Format::google_benchmark, changed(benchmark_json, "2.5", "\"quick\""), "real_time"},
        Case{Format::google_benchmark, R"({"context":{},"benchmarks":[]})", "no benchmark"},
        Case{Format::dbench, std::string(dbench_text.substr(0, 300)), "Throughput"},
        Case{Format::dbench, "dbench version", "Running for"},
        Case{Format::fs_mark, changed(fs_mark_text, "812.5", "fast"), "line 7: should be FSUse%"},
        Case{Format::fs_mark, "fs_mark", "no table"}}) {
    SCOPED_TRACE(c.reason);
    std::string reason;
    const auto runs = import_runs(c.text, c.format, {}, reason);
    ASSERT_FALSE(runs.ok());
    EXPECT_EQ(runs.error().code, cowfs::Code::exchange_input_invalid);
    EXPECT_THAT(reason, HasSubstr(c.reason));
  }
}

}  // namespace
}  // namespace cowbench::exchange
