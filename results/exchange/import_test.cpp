#include "results/exchange/import.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "results/exchange/fio_bins.h"
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

// What fio 3.33 wrote of 221 writes of 4 KiB, as far as latencies go.
constexpr std::string_view fio_writes = R"({"fio version" : "fio-3.33", "jobs" : [{"jobname" : "mix", "error" : 0, "write" : {
  "bw_bytes" : 5324800, "iops" : 1300.0, "runtime" : 170, "total_ios" : 221,
  "clat_ns" : {"min" : 1633, "max" : 40026, "mean" : 4492.80543, "N" : 221,
    "percentile" : {"50.000000": 2640, "90.000000": 9152, "99.000000": 28800, "99.900000": 40192},
    "bins" :
      {"1640": 1, "1832": 1, "1848": 1, "1880": 2, "1960": 1, "1976": 6, "1992": 4, "2008": 2, "2024": 4,
      "2040": 4, "2096": 3, "2128": 3, "2160": 6, "2192": 2, "2224": 7, "2256": 7, "2288": 3, "2320": 6,
      "2352": 7, "2384": 4, "2416": 6, "2448": 8, "2480": 2, "2512": 7, "2544": 2, "2576": 2, "2608": 7,
      "2640": 4, "2672": 2, "2704": 3, "2736": 4, "2768": 3, "2800": 2, "2832": 8, "2864": 4, "2896": 1,
      "2928": 8, "2960": 3, "2992": 5, "3024": 4, "3056": 3, "3088": 1, "3120": 1, "3152": 3, "3184": 1,
      "3248": 1, "3280": 1, "3344": 1, "3408": 1, "3440": 1, "3472": 2, "3632": 3, "3696": 1, "3760": 1,
      "3824": 1, "3856": 1, "3984": 1, "4080": 1, "4128": 2, "4256": 2, "4320": 1, "4448": 1, "4512": 1,
      "4640": 1, "6368": 1, "6432": 1, "6496": 1, "6560": 1, "8032": 1, "8256": 1, "9152": 1, "10432": 1,
      "10560": 1, "10816": 1, "11712": 1, "12480": 1, "15168": 1, "15296": 1, "15424": 1, "16512": 1, "17536":
      1, "17792": 1, "18560": 1, "18816": 1, "20352": 1, "20608": 1, "22912": 1, "23424": 1, "26240": 1,
      "27776": 1, "28800": 1, "30080": 1, "40192": 1}}}}]})";

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

TEST(Import, PercentilesOfBinsAreFiosOwnWithinABin) {
  const results::Record record = imported(fio_writes, Format::fio);
  const results::OperationStatistics& writes = record.comparisons.at(0).results.at(0).operations.at(0);
  const auto own = nlohmann::json::parse(fio_writes)["jobs"][0]["write"]["clat_ns"]["percentile"];
  for (const auto& [percent, imported_ns] :
       {std::pair{"50.000000", writes.p50_ns}, {"99.000000", writes.p99_ns}, {"99.900000", writes.p999_ns}}) {
    const double fios = own.at(percent).get<double>();
    EXPECT_NEAR(static_cast<double>(imported_ns), fios, fios / 64) << percent;
  }
}

// Bins and percentiles that fio wrote are what we would write of the same latencies.
TEST(Import, FiosBinsAreOurs) {
  const auto latency = nlohmann::json::parse(fio_writes)["jobs"][0]["write"]["clat_ns"];
  const auto latencies = std::make_unique<results::HistogramCounts>();
  FioBins fios;
  for (const auto& [bin, count] : latency["bins"].items()) {
    latencies->record_many(std::stoull(bin), count.get<u64>());
    fios[std::stoull(bin)] = count.get<u64>();
  }
  EXPECT_EQ(fio_bins(*latencies), fios);
  for (const auto& [percent, ns] : latency["percentile"].items())
    EXPECT_EQ(percentile_ns(fios, std::stod(percent)), ns) << percent;
  EXPECT_EQ(fio_bin_ns(127), 127u);
  EXPECT_EQ(fio_bin_ns(128), 129u);
  EXPECT_EQ(fio_bin_ns(129), 129u);
  EXPECT_EQ(fio_bin_ns(~u64{0}), fio_bin_ns((u64{1} << 34) - 1));
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
        Case{Format::fio, changed(fio_json, "\"read\" : {", "\"read\" : 7, \"reads\" : {"), "\"read\" should be an object"},
        Case{Format::fio, changed(fio_json, "1200.5", "\"fast\""), "\"iops\" of \"read\" should be a number"},
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
