#include "dashboards/terminal.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "dashboards/format.h"
#include "results/record_fixture.h"

namespace cowbench::dashboards {
namespace {

constexpr Style ascii{};
constexpr Style boxes{.unicode = true, .colour = false, .redraw = false, .columns = 100};
constexpr Style terminal{.unicode = true, .colour = true, .redraw = true, .columns = 40};

// After a change meant to be seen: COWBENCH_UPDATE_GOLDEN=1 dashboards_test, then read the difference.
void expect_golden(const std::string& text, const std::string& name) {
  const std::string path = std::string(GOLDEN_FOLDER) + "/" + name;
  if (std::getenv("COWBENCH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  std::stringstream expected;
  expected << file.rdbuf();
  EXPECT_EQ(text, expected.str()) << path;
}

TEST(Format, Numbers) {
  struct Case {
    std::string actual, expected;
  };
  for (const Case& c :
       {Case{format_nanoseconds(0), "0 ns"}, Case{format_nanoseconds(999), "999 ns"},
        Case{format_nanoseconds(999.9), "1.00 µs"}, Case{format_nanoseconds(1'240'000), "1.24 ms"},
        Case{format_nanoseconds(99'960'000), "100 ms"}, Case{format_nanoseconds(12e9), "12.0 s"},
        Case{format_number(0), "0.00"}, Case{format_number(9.999), "10.0"}, Case{format_number(999.6), "1,000"},
        Case{format_number(1234567), "1,234,567"}, Case{format_megabytes(1.5e9), "1,500"},
        Case{format_factor(6.0249), "6.02"}, Case{format_factor(0.2311), "0.231"}, Case{format_seconds_left(-1), "0 s"},
        Case{format_seconds_left(59.2), "1 min 00 s"}, Case{format_seconds_left(3725), "1 h 02 min"}}) {
    EXPECT_EQ(c.actual, c.expected);
  }
}

TEST(Format, Ratios) {
  results::Ratio ratio;
  EXPECT_EQ(format_ratio(ratio), "not measured");
  ratio.estimate = 6.02;
  EXPECT_EQ(format_ratio(ratio), "6.02 (no interval) unclear");
  ratio.ci95 = results::Interval{5.9, 6.149};
  ratio.verdict = results::Verdict::better;
  EXPECT_EQ(format_ratio(ratio), "6.02 [5.90, 6.15] better");
}

TEST(Table, AlignsByColumnsNotBytes) {
  Table table;
  table.add_column("name", Table::Align::left);
  table.add_column("time", Table::Align::right);
  table.add_row({"a", "1.00 µs"});
  table.add_row({"long\x1b[2Jer", "12 ns"});
  EXPECT_EQ(table.render(boxes),
            "┌────────────┬─────────┐\n"
            "│ name       │    time │\n"
            "├────────────┼─────────┤\n"
            "│ a          │ 1.00 µs │\n"
            "│ long?[2Jer │   12 ns │\n"
            "└────────────┴─────────┘\n");
  EXPECT_EQ(table.render(ascii),
            "+------------+---------+\n"
            "| name       |    time |\n"
            "+------------+---------+\n"
            "| a          | 1.00 us |\n"
            "| long?[2Jer |   12 ns |\n"
            "+------------+---------+\n");
}

TEST(Terminal, StyleFollowsTheEnvironment) {
  TerminalEnvironment environment;
  environment.lang = "en_US.UTF-8";
  EXPECT_FALSE(choose_style(environment).unicode);  // a file or a pipe
  environment.is_terminal = true;
  EXPECT_TRUE(choose_style(environment).unicode && choose_style(environment).colour);
  environment.no_color = "1";
  EXPECT_FALSE(choose_style(environment).colour);
  EXPECT_TRUE(choose_style(environment).redraw);
  environment.lc_all = "C";
  EXPECT_FALSE(choose_style(environment).unicode);
  environment.term = "dumb";
  EXPECT_FALSE(choose_style(environment).redraw);
  environment.columns = 72;
  EXPECT_EQ(choose_style(environment).columns, 72u);
}

TEST(Terminal, WholeRecord) {
  expect_golden(render_record(results::fixture::make_record(), ascii), "record_ascii.txt");
  expect_golden(render_record(results::fixture::make_record(), boxes), "record_unicode.txt");
}

TEST(Terminal, AsciiMeansAscii) {
  results::Record record = results::fixture::make_record();
  record.comparisons[0].device = "Gerät 盤";
  const std::string text = render_record(record, ascii);
  EXPECT_NE(text.find("Ger?t ?\n"), std::string::npos);
  for (const char byte : text) {
    ASSERT_TRUE(byte == '\n' || (byte >= ' ' && byte <= '~'));
  }
}

TEST(Terminal, ColoursOnlyRepeatWords) {
  std::string text = render_record(results::fixture::make_record(), terminal);
  EXPECT_NE(text.find("\x1b[32m better\x1b[0m"), std::string::npos);
  for (std::size_t at = text.find('\x1b'); at != std::string::npos; at = text.find('\x1b')) {
    text.erase(at, text.find('m', at) + 1 - at);
  }
  EXPECT_EQ(text, render_record(results::fixture::make_record(), boxes));
}

TEST(Terminal, AnEmptyRecordIsNotAnError) {
  EXPECT_FALSE(render_record(results::Record{}, ascii).empty());
  results::Record record;
  record.comparisons.emplace_back().results.emplace_back();
  record.comparisons.back().calibration.emplace_back();
  EXPECT_NE(render_record(record, ascii).find("MB/s"), std::string::npos);
}

// What other programs measured has figures of its own, and once showed none of them.
TEST(Terminal, OnlyWhatWasMeasuredHasAColumn) {
  results::Comparison comparison;
  comparison.media = "imported";
  comparison.workload = "fs_mark 16384 B";
  comparison.clients = comparison.rounds = 1;
  comparison.results.resize(1);
  comparison.results[0].target = "xfs";
  comparison.results[0].rounds.resize(1);
  comparison.results[0].rounds[0].metrics["files_s"] = 310;
  results::summarise(comparison);
  EXPECT_EQ(result_table(comparison, ascii),
            "imported - fs_mark 16384 B - 1 client - 1 round\n"
            "+--------+---------+\n"
            "| target | files/s |\n"
            "+--------+---------+\n"
            "| xfs    |     310 |\n"
            "+--------+---------+\n");
}

// A suite names metrics that only it knows.
TEST(Terminal, MetricsThatNobodyElseKnowsHaveColumnsToo) {
  results::Comparison comparison;
  comparison.media = "session";
  comparison.workload = "quick";
  comparison.rounds = 1;
  comparison.results.resize(2);
  comparison.results[0].target = "quick";
  comparison.results[1].target = "control";
  for (results::TargetResult& result : comparison.results) result.rounds.resize(1);
  comparison.results[0].rounds[0].metrics = {{"zebras", 12}, {"ops_s", 310}, {"a\x1b[2Jb", 4}};
  comparison.results[1].rounds[0].metrics = {{"ops_s", 290}};
  results::summarise(comparison);
  const std::string table = result_table(comparison, ascii);
  EXPECT_NE(table.find("| target  | ops/s | a?[2Jb | zebras |"), std::string::npos) << table;
  EXPECT_NE(table.find("| control |   290 |      - |      - |"), std::string::npos) << table;
}

TEST(Terminal, SaysWhatMakesAResultSuspect) {
  results::Record record = results::fixture::make_record();
  record.comparisons[0].results[2].rounds[1].failed_operations = 12;
  record.comparisons[0].ratios[0].verdict = results::Verdict::unclear;
  record.comparisons[0].ratios[0].rounds_needed = 40;
  const std::string text = render_record(record, ascii);
  EXPECT_NE(text.find("xfs, round 2: 12 operations ended otherwise than the load expects"), std::string::npos);
  EXPECT_NE(text.find("cowfs / xfs: unclear after 8 rounds; about 40 rounds would settle it"), std::string::npos);
}

}  // namespace
}  // namespace cowbench::dashboards
